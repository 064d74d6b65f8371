"""A store that went back or was lost, against what really lives: what must go before it is trusted. Pure.

Each node's cni server says what is attached there. Against that is judged what the store has for these
nodes: what does not live any more is released, what lives is registered by its node once the store is
accepted (census.py). For nodes that said nothing the store is believed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from felix_py.datastore.keys import ASSIGNMENT, kind_prefix
from felix_py.datastore.model import Attribute, HandleId, IPAddress, Kind, NodeName
from ipam import block as blocks
from ipam.findings import Snapshot
from ipam.free import AddressRelease
from ipam.recovery_papers import Claim
from ipam.tunnels import is_tunnel_of

Claims = Mapping[NodeName, Sequence[Claim]]


@dataclass(frozen=True, slots=True)
class Recovery:
    """What is done before the store is accepted, and what a person should know."""

    endpoints: tuple[str, ...]
    """Paths of endpoints whose pod lives no more: they go, with their addresses."""
    leases: tuple[AddressRelease, ...]
    """Held by handles of these nodes that live no more."""
    returning: tuple[str, ...]
    """Attachments that the store does not know: their nodes register them."""
    conflicts: tuple[str, ...]
    """Addresses that two claim, in words; nobody's is taken."""
    undecided: tuple[str, ...] = ()
    """What only a person can judge, in words."""


@dataclass(frozen=True, slots=True)
class _User:
    claim: Claim
    node: NodeName

    def __str__(self) -> str:
        return f"{_named(self.claim)} on {self.node}"


def plan(snapshot: Snapshot, claims: Claims) -> Recovery:
    """Live beats stored; stored and not live goes; two live claims are said."""
    living = {claim.handle_id for of_node in claims.values() for claim in of_node}
    holders = _holders(snapshot)
    leases = tuple(_gone_leases(snapshot, claims, living))
    users = _users(claims)
    return Recovery(
        _gone_endpoints(snapshot, claims),
        leases,
        tuple(_returning(snapshot, claims)),
        (*_two_live(users), *_of_others(users, holders, claims, {e.address for e in leases})),
        (*_unreadable(snapshot), *_outside_pools(snapshot, users, holders)),
    )


def _users(claims: Claims) -> dict[IPAddress, list[_User]]:
    users: dict[IPAddress, list[_User]] = {}
    for node, of_node in sorted(claims.items()):
        for claim in of_node:
            for address in claim.addresses:
                users.setdefault(address, []).append(_User(claim, node))
    return dict(sorted(users.items(), key=lambda item: (item[0].version, int(item[0]))))


def _holders(snapshot: Snapshot) -> dict[IPAddress, Attribute]:
    return {
        blocks.address_at(block, ordinal): holder
        for block in snapshot.blocks.values()
        for ordinal, holder in blocks.holders(block)
    }


def _gone_endpoints(snapshot: Snapshot, claims: Claims) -> tuple[str, ...]:
    alive = {
        (claim.endpoint, claim.container_id) for of_node in claims.values() for claim in of_node
    }
    return tuple(
        path
        for path, endpoint in sorted(snapshot.endpoints.items())
        if endpoint.node in claims and (path, endpoint.container_id) not in alive
    )


def _gone_leases(
    snapshot: Snapshot, claims: Claims, living: set[HandleId]
) -> Iterable[AddressRelease]:
    """Leases that answering nodes hold and nothing that lives, no tunnel and no silent node explains."""
    explained = {
        address
        for endpoint in snapshot.endpoints.values()
        if endpoint.node not in claims
        for address in endpoint.addresses
    }
    for block in snapshot.blocks.values():
        for ordinal, holder in blocks.holders(block):
            node, handle = NodeName(holder.secondary.get("node", "")), holder.handle_id
            address = blocks.address_at(block, ordinal)
            if node not in claims or handle is None or handle in living or address in explained:
                continue
            if not is_tunnel_of(node, handle, holder.secondary.get("type", "")):
                sequence = block.sequence_for_allocation.get(ordinal)
                yield AddressRelease(address, handle, sequence)


def _returning(snapshot: Snapshot, claims: Claims) -> Iterable[str]:
    for node, of_node in sorted(claims.items()):
        for claim in of_node:
            stored = snapshot.endpoints.get(claim.endpoint)
            if not claim.endpoint:
                continue  # a tunnel's: taken again by its node, or already held
            if stored is None or stored.container_id != claim.container_id:
                yield f"{_named(claim)} on {node}: {', '.join(map(str, claim.addresses))}"


def _two_live(users: Mapping[IPAddress, Sequence[_User]]) -> Iterable[str]:
    for address, named in users.items():
        if len(named) > 1:
            said = " and by ".join(map(str, named))
            yield f"{address} is used by {said}: recreate all but one"


def _of_others(
    users: Mapping[IPAddress, Sequence[_User]],
    holders: Mapping[IPAddress, Attribute],
    claims: Claims,
    released: set[IPAddress],
) -> Iterable[str]:
    """Used by one that lives, and the store gives it to another handle, which is not released."""
    for address, of_address in users.items():
        holder = holders.get(address)
        if holder is None or address in released:
            continue
        node = NodeName(holder.secondary.get("node", ""))
        if holder.handle_id in {user.claim.handle_id for user in of_address}:
            continue
        silent = "" if node in claims else ", which did not answer"
        yield (
            f"{address} is used by {of_address[0]}; the store gives it to handle "
            f"{holder.handle_id} of {node or 'no node'}{silent}"
        )


def _unreadable(snapshot: Snapshot) -> Iterable[str]:
    """Blocks and pools that cannot be read: whose addresses are theirs, nobody can say."""
    judged = (ASSIGNMENT, kind_prefix(Kind.IP_POOL))
    for path, reason in sorted(snapshot.unreadable.items()):
        if path.startswith(judged):
            yield f"{path} cannot be read ({reason}): repair it"


def _outside_pools(
    snapshot: Snapshot,
    users: Mapping[IPAddress, Sequence[_User]],
    holders: Mapping[IPAddress, Attribute],
) -> Iterable[str]:
    """Nobody holds it in the store, and no pool is there in which it could be registered."""
    pods = {address: named for address, named in users.items() if named[0].claim.endpoint}
    for address, of_address in pods.items():
        if address not in holders and not any(address in pool.cidr for pool in snapshot.pools):
            yield (
                f"{address} of {of_address[0]} lies in no pool of this store: restore the pool, "
                "or recreate the pod"
            )


def _named(claim: Claim) -> str:
    return claim.endpoint.rpartition("/")[2] or claim.handle_id
