"""`felixctl ipam`: who holds what, and whether blocks, handles, endpoints and nodes agree."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from felix_py.ctl import output
from felix_py.ctl.connection import Session
from felix_py.ctl.errors import CommandError
from felix_py.ctl.get import listed
from felix_py.ctl.kinds import find
from felix_py.datastore.codec import decode
from felix_py.datastore.keys import ASSIGNMENT, BlockKey, parse
from felix_py.datastore.model import Block, IPAddress, IPNetwork, IPPool
from felix_py.datastore.store import Store
from ipam.block import address_at, holder_of, holders, ordinal_of


@dataclass(frozen=True, slots=True)
class Selection:
    """What `ipam show` is asked for; nothing: the pools."""

    address: str = ""
    block: str = ""
    node: str = ""
    pod: str = ""
    """namespace/name."""
    borrowed: bool = False
    """Only what another node's pods hold in a block."""


def show(session: Session, selection: Selection, form: output.PlainForm) -> None:
    """Pools with their use, or the holders of one address, block or node's blocks."""
    with session.store() as store:
        blocks = stored_blocks(store)
        pools = [
            v
            for k, item in listed(store, find("ippool"))
            if isinstance(v := decode(k, item.value), IPPool)
        ]
    rows: list[tuple[str, ...]]
    if selection.address:
        rows = list(_address_rows(blocks, parsed_address(selection.address)))
        headings: tuple[str, ...] = ("FIELD", "VALUE")
    elif selection != Selection():
        headings = ("ADDRESS", "BLOCK", "OWNER", "HANDLE", "POD", "ON NODE")
        rows = list(_holders(_selected(blocks, selection), selection))
    else:
        headings = ("POOL", "CIDR", "BLOCKS", "IN USE", "FREE", "SIZE")
        rows = [_pool_row(pool, blocks) for pool in sorted(pools, key=lambda p: p.name)]
        rows += _outside(blocks, pools)
    if form is output.PlainForm.JSON:
        names = [heading.lower() for heading in headings]
        print(output.json_text([dict(zip(names, row, strict=True)) for row in rows]), end="")
        return
    output.table(headings, rows)


def stored_blocks(store: Store) -> list[Block]:
    """Every readable block, by address."""
    found = []
    for item in store.list(ASSIGNMENT).items:
        key = parse(item.key)
        if isinstance(key, BlockKey) and isinstance(value := decode(key, item.value), Block):
            found.append(value)
    return sorted(found, key=lambda b: (b.cidr.version, b.cidr.network_address))


def parsed_address(text: str) -> IPAddress:
    """What --ip says. Raises CommandError."""
    try:
        return ip_address(text)
    except ValueError:
        raise CommandError(f"--ip {text!r} is not an IP address") from None


def _address_rows(blocks: Iterable[Block], address: IPAddress) -> list[tuple[str, str]]:
    block = next((b for b in blocks if address in b.cidr), None)
    if block is None:
        return [("address", str(address)), ("state", "free; no block covers it")]
    ordinal = ordinal_of(block, address)
    holder = holder_of(block, ordinal)
    rows = [
        ("address", str(address)),
        ("state", "free" if holder is None else "in use"),
        ("block", str(block.cidr)),
        ("block of", block.affinity or "nobody"),
    ]
    if holder is not None:
        rows.append(("handle", holder.handle_id or "-"))
        rows += sorted(holder.secondary.items())
        rows.append(("sequence", str(block.sequence_for_allocation.get(ordinal, "-"))))
    return rows


def _selected(blocks: Iterable[Block], selection: Selection) -> Iterable[Block]:
    wanted: IPNetwork | None = None
    if selection.block:
        try:
            wanted = ip_network(selection.block)
        except ValueError:
            raise CommandError(f"--block {selection.block!r} is not a network") from None
    for block in blocks:
        right = wanted is None or block.cidr == wanted
        if right and selection.node in {"", block.host}:
            yield block


def _holders(blocks: Iterable[Block], selection: Selection) -> Iterable[tuple[str, ...]]:
    for block in blocks:
        for ordinal, holder in holders(block):
            pod = "/".join(
                filter(None, (holder.secondary.get("namespace"), holder.secondary.get("pod")))
            )
            node = holder.secondary.get("node", "-")
            if selection.pod not in {"", pod}:
                continue
            if selection.borrowed and node in {"-", block.host}:
                continue
            yield (
                str(address_at(block, ordinal)),
                str(block.cidr),
                block.affinity or "-",
                holder.handle_id or "-",
                pod or holder.secondary.get("type", "-"),
                node,
            )


def _used(block: Block) -> int:
    return sum(index is not None for index in block.allocations)


def _pool_row(pool: IPPool, blocks: Iterable[Block]) -> tuple[str, ...]:
    mine = [block for block in blocks if _covers(pool, block)]
    used, size = sum(map(_used, mine)), pool.cidr.num_addresses
    name = f"{pool.name} (disabled)" if pool.disabled else pool.name
    return name, str(pool.cidr), str(len(mine)), str(used), str(size - used), str(size)


def _outside(blocks: Iterable[Block], pools: Iterable[IPPool]) -> list[tuple[str, ...]]:
    pools = list(pools)
    lost = [block for block in blocks if not any(_covers(pool, block) for pool in pools)]
    if not lost:
        return []
    size = sum(block.cidr.num_addresses for block in lost)
    used = sum(map(_used, lost))
    return [("(no pool)", "-", str(len(lost)), str(used), str(size - used), str(size))]


def _covers(pool: IPPool, block: Block) -> bool:
    return block.cidr.version == pool.cidr.version and pool.cidr.overlaps(block.cidr)
