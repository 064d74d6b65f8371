"""A store that went back or was lost, against what really lives: what must go before it is trusted. Pure.

Each node's cni server says what is attached there. Against that is judged what the store has for these
nodes: what does not live any more is released, what lives is registered by its node once the store is
accepted (census.py). For nodes that said nothing the store is believed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from felix_py.datastore.model import HandleId, IPAddress, NodeName
from ipam import block as blocks
from ipam.findings import Snapshot
from ipam.free import AddressRelease
from ipam.tunnels import is_tunnel_of


@dataclass(frozen=True, slots=True)
class Claim:
    """One attachment that lives: its handle, its endpoint's key, its container and its addresses."""

    handle_id: HandleId
    endpoint: str
    container_id: str
    addresses: tuple[IPAddress, ...]


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


def plan(snapshot: Snapshot, claims: Claims) -> Recovery:
    """Live beats stored; stored and not live goes; two live claims are said."""
    living = {claim.handle_id for of_node in claims.values() for claim in of_node}
    gone = _gone_endpoints(snapshot, claims)
    return Recovery(
        gone,
        tuple(_gone_leases(snapshot, claims, living)),
        tuple(_returning(snapshot, claims)),
        (*_two_live(claims), *_held_by_the_silent(snapshot, claims, living)),
    )


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
            if stored is None or stored.container_id != claim.container_id:
                yield f"{_named(claim)} on {node}: {', '.join(map(str, claim.addresses))}"


def _two_live(claims: Claims) -> Iterable[str]:
    users: dict[IPAddress, list[str]] = {}
    for node, of_node in sorted(claims.items()):
        for claim in of_node:
            for address in claim.addresses:
                users.setdefault(address, []).append(f"{_named(claim)} on {node}")
    for address, named in sorted(users.items(), key=lambda item: (item[0].version, int(item[0]))):
        if len(named) > 1:
            yield f"{address} is used by {' and by '.join(named)}: recreate all but one"


def _held_by_the_silent(snapshot: Snapshot, claims: Claims, living: set[HandleId]) -> Iterable[str]:
    wanted = {
        address: f"{_named(claim)} on {node}"
        for node, of_node in claims.items()
        for claim in of_node
        for address in claim.addresses
    }
    for block in snapshot.blocks.values():
        for ordinal, holder in blocks.holders(block):
            node = NodeName(holder.secondary.get("node", ""))
            user = wanted.get(blocks.address_at(block, ordinal))
            if user and holder.handle_id not in living and node not in claims:
                yield (
                    f"{blocks.address_at(block, ordinal)} is used by {user}; the store gives it to handle "
                    f"{holder.handle_id} of {node or 'no node'}, which did not answer"
                )


def _named(claim: Claim) -> str:
    return claim.endpoint.rpartition("/")[2]


def encode(nonce: str, claims: Sequence[Claim]) -> bytes:
    """A node's answer to the question with this nonce."""
    told = [
        [claim.handle_id, claim.endpoint, claim.container_id, [str(a) for a in claim.addresses]]
        for claim in claims
    ]
    return json.dumps({"nonce": nonce, "living": told}, separators=(",", ":")).encode()


def decode(raw: bytes, nonce: str) -> tuple[Claim, ...] | None:
    """None: no answer to this question, or none that can be read."""
    try:
        document = json.loads(raw)
        if document["nonce"] != nonce:
            return None
        return tuple(
            Claim(
                HandleId(str(handle)),
                str(path),
                str(container),
                tuple(ip_address(a) for a in addresses),
            )
            for handle, path, container, addresses in document["living"]
        )
    except (ValueError, KeyError, TypeError):
        return None
