"""Pure: who wins when two endpoints want the same address or the same link."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from felix_py.agent.snapshot import Claim, Snapshot
from felix_py.datastore.model import IPNetwork, WorkloadEndpoint
from felix_py.kernel.model import Link
from felix_py.kernel.ownership import LINK_PREFIX


def owns_link(endpoint: WorkloadEndpoint, link: Link) -> bool:
    """True when this host link is the endpoint's own.

    A link's alias is its IPAM handle, `<network>.<container id>`; a link whose alias names another
    container belongs to that one, whatever the endpoint says. Links without the prefix are never
    ours, so that an endpoint in etcd cannot reach for the host's uplink. Both parts of a handle may
    hold dots (`net.k8s.io-web`), so the container's id is compared with the end.
    """
    if not link.name.startswith(LINK_PREFIX) or link.name != endpoint.interface_name:
        return False
    return not link.alias or link.alias.endswith(f".{endpoint.container_id}")


def winner(claims: Iterable[Claim], links: Mapping[str, Link]) -> Claim | None:
    """The newest endpoint that stands on a link of its own; None when no claim has one.

    Newest by create revision, then by key, so that the order of events cannot decide.
    """
    able = [
        claim
        for claim in claims
        if (link := links.get(claim.endpoint.interface_name)) and owns_link(claim.endpoint, link)
    ]
    return max(able, key=lambda claim: (claim.create_revision, claim.key.path), default=None)


def disputed(snapshot: Snapshot) -> dict[IPNetwork, tuple[str, ...]]:
    """Addresses that several endpoints claim, with the endpoints' keys in order, for status."""
    return {
        prefix: tuple(sorted(key.path for key in claims))
        for prefix, claims in snapshot.claims.items()
        if len(claims) > 1
    }
