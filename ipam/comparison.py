"""What is wrong between blocks, handles, affinities and endpoints: a pure function of one snapshot.

Report-only: every finding carries what an administrator may do about it.
Reference: Calico v3.32.1 `calicoctl/calicoctl/commands/ipam/check.go`, which needs a locked store.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from felix_py.datastore.keys import AffinityKey, BlockKey, HandleKey
from felix_py.datastore.model import (
    AffinityState,
    Block,
    HandleId,
    IPAddress,
    IPNetwork,
    IPPool,
    NodeName,
)
from ipam import block as blocks
from ipam.block import WINDOWS_RESERVED
from ipam.findings import Finding, Problem, Snapshot, Subject
from ipam.service import SERVICE_PREFIX
from ipam.tunnels import TunnelKind, handle_of, is_tunnel_of, published


def compare(snapshot: Snapshot) -> list[Finding]:
    """Every finding, in a stable order; nothing is decided about a repair."""
    held = _held(snapshot)
    found = [
        *_unreadable(snapshot),
        *_leaked(snapshot, held),
        *_endpoints(snapshot, held),
        *_tunnels(snapshot, held),
        *_handles(snapshot),
        *_affinities(snapshot),
        *_outside(snapshot, held),
    ]
    return sorted(found, key=lambda f: (list(Problem).index(f.problem), f.what, f.detail))


@dataclass(frozen=True, slots=True)
class _Held:
    block: Block
    ordinal: int
    handle_id: HandleId | None
    kind: str
    node: str
    namespace: str

    @property
    def subject(self) -> Subject:
        """This allocation and no later one of the same address."""
        return Subject(
            BlockKey(self.block.cidr),
            self.block.sequence_for_allocation.get(self.ordinal, 0),
            blocks.address_at(self.block, self.ordinal),
            self.handle_id,
            self.namespace,
            self.node,
        )


def _held(snapshot: Snapshot) -> dict[IPAddress, list[_Held]]:
    """Every allocated address; two entries when overlapping blocks both give it out."""
    found: dict[IPAddress, list[_Held]] = {}
    for block in snapshot.blocks.values():
        for ordinal, holder in blocks.holders(block):
            secondary = holder.secondary
            held = _Held(
                block,
                ordinal,
                holder.handle_id,
                secondary.get("type", ""),
                secondary.get("node", ""),
                secondary.get("namespace", ""),
            )
            found.setdefault(blocks.address_at(block, ordinal), []).append(held)
    return found


def _unreadable(snapshot: Snapshot) -> Iterator[Finding]:
    for path, reason in snapshot.unreadable.items():
        yield Finding(Problem.UNREADABLE, path, reason, "correct or delete the key")


def _leaked(snapshot: Snapshot, held: dict[IPAddress, list[_Held]]) -> Iterator[Finding]:
    used = {address for shown in snapshot.endpoints.values() for address in shown.addresses}
    for address, holders in held.items():
        for holder in holders:
            if address not in used and not _stands_alone(holder, snapshot):
                yield Finding(
                    Problem.LEAKED,
                    str(address),
                    f"held by handle {holder.handle_id} on node {holder.node or 'unknown'},"
                    " which no endpoint and no tunnel of a node shows",
                    f"release {address} for handle {holder.handle_id} if its owner is gone",
                    holder.subject,
                )


def _stands_alone(holder: _Held, snapshot: Snapshot) -> bool:
    """True for holders that never have an endpoint: tunnels, services, Windows' own addresses."""
    handle = holder.handle_id or HandleId("")
    of_known_node = NodeName(holder.node) in snapshot.nodes
    return (
        (of_known_node and is_tunnel_of(NodeName(holder.node), handle, holder.kind))
        or handle == WINDOWS_RESERVED
        or handle.startswith(SERVICE_PREFIX)
    )


def _endpoints(snapshot: Snapshot, held: dict[IPAddress, list[_Held]]) -> Iterator[Finding]:
    users: dict[IPAddress, list[str]] = {}
    for path, endpoint in snapshot.endpoints.items():
        for address in endpoint.addresses:
            users.setdefault(address, []).append(path)
    for address, paths in users.items():
        if len(paths) > 1:
            detail = f"shown by {', '.join(sorted(paths))}"
            yield Finding(
                Problem.DOUBLED, str(address), detail, "recreate all but the pod that holds it"
            )
        if address not in held and _pool_of(address, snapshot) is not None:
            repair = "recreate the pod, or assign the address to its handle"
            for path in paths:
                yield Finding(
                    Problem.ENDPOINT_WITHOUT_ADDRESS, path, f"{address} is free in IPAM", repair
                )
    for address, holders in held.items():
        if len(holders) > 1:
            names = ", ".join(sorted(str(holder.block.cidr) for holder in holders))
            repair = "release it in the block whose size is not its pool's"
            yield Finding(Problem.DOUBLED, str(address), f"allocated in {names}", repair)


def _tunnels(snapshot: Snapshot, held: dict[IPAddress, list[_Held]]) -> Iterator[Finding]:
    for name, node in snapshot.nodes.items():
        for kind in TunnelKind:
            address = published(kind, node) if node else None
            if address is None or _pool_of(address, snapshot) is None:
                continue
            holders = held.get(address, [])
            if not any(each.handle_id == handle_of(kind, name) for each in holders):
                now = f"held by handle {holders[0].handle_id}" if holders else "free in IPAM"
                repair = "start the node's cni server, which takes it or another one"
                detail = f"publishes {address} as its {kind.value}, which is {now}"
                yield Finding(Problem.TUNNEL_WITHOUT_ADDRESS, name, detail, repair)


def _handles(snapshot: Snapshot) -> Iterator[Finding]:
    inside: dict[HandleId, set[IPNetwork]] = {}
    for block in snapshot.blocks.values():
        for attribute in block.attributes:
            if attribute.handle_id:
                inside.setdefault(attribute.handle_id, set()).add(block.cidr)
    unread = bool(snapshot.unreadable)
    for key, named in snapshot.handles.items():
        # A block that cannot be read may hold what its handles say.
        hidden = {c for c in named if BlockKey(c).path in snapshot.unreadable} if unread else set()
        real = inside.pop(key.handle_id, set()) | hidden
        yield from _handle(snapshot, key, named, real)
    for handle_id, cidrs in inside.items():
        where = ", ".join(sorted(map(str, cidrs)))
        yield Finding(
            Problem.MISSING_HANDLE,
            handle_id,
            f"holds addresses in {where} but its key is missing",
            "write it again from the blocks",
            snapshot.subject(HandleKey(handle_id), cidrs),
        )


def _handle(
    snapshot: Snapshot, key: HandleKey, named: tuple[IPNetwork, ...], real: set[IPNetwork]
) -> Iterator[Finding]:
    subject = snapshot.subject(key, real)
    if not real:
        detail = "no block holds an address of it"
        yield Finding(Problem.ORPHANED_HANDLE, key.path, detail, "delete the key", subject)
        return
    wrong = sorted(map(str, set(named) ^ real))
    if wrong:
        detail = f"names {', '.join(wrong)} otherwise than the blocks do"
        repair = "write it again from the blocks"
        yield Finding(Problem.WRONG_HANDLE, key.path, detail, repair, subject)


def _affinities(snapshot: Snapshot) -> Iterator[Finding]:
    for key, affinity in snapshot.affinities.items():
        subject = snapshot.subject(key)
        block = snapshot.blocks.get(BlockKey(key.cidr))
        if affinity.state is not AffinityState.CONFIRMED:
            repair = "start the node's cni server, which repairs it, or release the affinity"
            detail = affinity.state.value
            yield Finding(Problem.PENDING_AFFINITY, key.path, detail, repair, subject)
        elif f"{BlockKey(key.cidr).path}" in snapshot.unreadable:
            continue
        elif block is None or block.affinity != key.owner:
            detail = "there is no block" if block is None else f"the block says {block.affinity}"
            repair = "release the affinity"
            yield Finding(Problem.AFFINITY_WITHOUT_BLOCK, key.path, detail, repair, subject)
    for block_key, block in snapshot.blocks.items():
        yield from _block_affinity(snapshot, block_key, block)


def _block_affinity(snapshot: Snapshot, key: BlockKey, block: Block) -> Iterator[Finding]:
    kind, _, name = (block.affinity or "").partition(":")
    subject = snapshot.subject(key)
    if block.affinity is None:
        if blocks.is_empty(block):
            detail = "nobody's and empty"
            repair = "delete the key"
            yield Finding(Problem.BLOCK_WITHOUT_AFFINITY, key.path, detail, repair, subject)
        return
    affinity = AffinityKey(NodeName(name), key.cidr, kind == "virtual")
    if affinity not in snapshot.affinities:
        yield Finding(
            Problem.BLOCK_WITHOUT_AFFINITY,
            key.path,
            f"says {block.affinity}, which has no such key",
            "write the affinity while it has addresses, else delete the block",
            subject,
        )


def _outside(snapshot: Snapshot, held: dict[IPAddress, list[_Held]]) -> Iterator[Finding]:
    for address, holders in held.items():
        if _pool_of(address, snapshot) is None:
            yield Finding(
                Problem.OUTSIDE_POOLS,
                str(address),
                f"held by handle {holders[0].handle_id} in block {holders[0].block.cidr}",
                "recreate the pool, or move the pod",
            )


def _pool_of(address: IPAddress, snapshot: Snapshot) -> IPPool | None:
    for pool in snapshot.pools:
        if pool.cidr.version == address.version and address in pool.cidr:
            return pool
    return None
