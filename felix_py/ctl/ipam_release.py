"""`felixctl ipam release`: give back what nobody uses, by address or by handle.

calicoctl releases an address without a look at who uses it. Here a holder that an endpoint or a node's
tunnel shows keeps it unless forced; and what is released is the very lease that was looked at: handle
and sequence number are compared in the transaction.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from felix_py.ctl.connection import Session
from felix_py.ctl.errors import CommandError, Conflict, NotThere
from felix_py.ctl.ipam import parsed_address, stored_blocks
from felix_py.datastore.codec import decode
from felix_py.datastore.keys import kind_prefix
from felix_py.datastore.model import HandleId, IPAddress, Kind, Node, WorkloadEndpoint
from felix_py.datastore.store import Store
from ipam import block as blocks
from ipam.audit import BETWEEN_LOOKS_SECONDS
from ipam.errors import GaveUp, NotYours, StaleLease
from ipam.free import AddressRelease, release_addresses
from ipam.office import Office
from ipam.tunnels import TunnelKind, published


def release(
    session: Session,
    address: str,
    handle: str,
    *,
    force: bool,
    wait: Callable[[float], None] = time.sleep,
) -> Iterator[str]:
    """Release one address, or all of a handle; a line for each. Raises CommandError, Conflict, NotThere.

    Without force it looks twice: a pod of a Calico node that starts has its address a moment before
    its endpoint.
    """
    if bool(address) == bool(handle):
        raise CommandError("say either --ip ADDRESS or --handle HANDLE")
    with session.store() as store:
        office = Office(store)
        leases = _leases(office, address, handle)
        if not force:
            _refuse_used(office, leases)
            wait(BETWEEN_LOOKS_SECONDS)
            _refuse_used(office, leases)
        try:
            freed = release_addresses(office, leases)
        except (StaleLease, NotYours, GaveUp) as error:
            raise Conflict(f"changed hands meanwhile, look again: {error}") from error
    for each in leases:
        if each.address in freed.released:
            yield f"{each.address} released from handle {each.handle_id or '(none)'}"


def _leases(office: Office, address: str, handle: str) -> Sequence[AddressRelease]:
    wanted = parsed_address(address) if address else None
    found = [
        lease
        for lease in _held(office.store)
        if (lease.address == wanted if wanted else lease.handle_id == handle)
    ]
    if not found:
        what = (
            f"--ip {address}: free already" if address else f"--handle {handle}: holds no address"
        )
        raise NotThere(f"{what}; `felixctl ipam show` says what is held")
    return found


def _held(store: Store) -> Iterator[AddressRelease]:
    for block in stored_blocks(store):
        for ordinal, holder in blocks.holders(block):
            sequence = block.sequence_for_allocation.get(ordinal)
            named = HandleId(holder.handle_id) if holder.handle_id else None
            yield AddressRelease(blocks.address_at(block, ordinal), named, sequence)


def _refuse_used(office: Office, leases: Iterable[AddressRelease]) -> None:
    users = _users(office)
    for lease in leases:
        if lease.address in users:
            raise CommandError(
                f"{lease.address} is in use: {users[lease.address]}; "
                "delete that, or say --force to take the address away from it"
            )


def _users(office: Office) -> Mapping[IPAddress, str]:
    """Who shows each address: endpoints and nodes' tunnels."""
    found: dict[IPAddress, str] = {}
    for key, item in office.objects(kind_prefix(Kind.WORKLOAD_ENDPOINT)):
        endpoint = decode(key, item.value)
        if isinstance(endpoint, WorkloadEndpoint):
            said = f"endpoint {key.path.rpartition('/')[2]} on node {endpoint.node}"
            found |= dict.fromkeys((net.network_address for net in endpoint.networks), said)
    for key, item in office.objects(kind_prefix(Kind.NODE)):
        node = decode(key, item.value)
        if isinstance(node, Node):
            for kind in TunnelKind:
                if (address := published(kind, node)) is not None:
                    found[address] = f"node {node.name} publishes it as its {kind.value}"
    return found
