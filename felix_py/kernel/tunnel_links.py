"""Tunnel devices on netlink: implements port.TunnelLinks, and the events that concern them."""

from __future__ import annotations

import errno
import socket
from collections.abc import Sequence
from ipaddress import ip_interface
from typing import Self

from felix_py.kernel.errors import KernelRefused
from felix_py.kernel.link_batch import delete_link, no_link_local, put_address, set_link
from felix_py.kernel.link_dump import link_request, read_address, read_link
from felix_py.kernel.model import Address, IPAddress, LinkSettings
from felix_py.kernel.namespace import entered_by_name
from felix_py.kernel.neighbour_dump import (
    ForwardingEntry,
    NeighbourEntry,
    read_forwarding,
    read_neighbour,
)
from felix_py.kernel.netlink_format import (
    DELADDR,
    DELLINK,
    HEADER,
    IFADDR,
    NDMSG,
    NEWADDR,
    NEWLINK,
    NEWNEIGH,
    S32,
    Message,
)
from felix_py.kernel.netlink_wire import READ_BYTES, NetlinkSocket, open_socket
from felix_py.kernel.tunnel_batch import (
    DELNEIGH,
    addresses_of,
    change_entry,
    create_tunnel,
    drop_address,
    forwarding_of,
    neighbours_of,
    set_mac,
)
from felix_py.kernel.tunnel_dump import read_tunnel
from felix_py.kernel.tunnel_model import (
    DropForwarding,
    DropNeighbour,
    EntryChange,
    EntryEvent,
    TunnelLink,
    TunnelWish,
)

GROUPS = (1, 3, 5, 9)
"""RTNLGRP_: LINK, NEIGH, IPV4_IFADDR, IPV6_IFADDR."""
MAX_DATAGRAMS = 20_000
"""Read per call at most; what is left comes with the next call."""
MAX_ENTRIES = 1_000
"""More forwarding entries or neighbours told of at once: everything is read again, which is cheaper."""
GONE = frozenset({errno.ENOENT, errno.ENODEV, errno.EADDRNOTAVAIL, errno.ESRCH})
"""What a deletion of something absent is answered with."""
DROPS = DropForwarding | DropNeighbour
BODY = 16
"""Length of a netlink header: where the body starts."""


class NetlinkTunnelLinks:
    """Implements port.TunnelLinks for the calling process's namespace, or one that iproute2 named."""

    def __init__(self, netns: str | None = None) -> None:
        groups = sum(1 << (group - 1) for group in GROUPS)
        with entered_by_name(netns):
            self._socket = NetlinkSocket()
            self._events = open_socket(socket.NETLINK_ROUTE, groups=groups)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the sockets; safe to repeat."""
        self._socket.close()
        self._events.close()

    def find(self, name: str) -> TunnelLink | None:
        """The link of this name, of whatever kind. Raises KernelRefused."""
        try:
            message = self._socket.ask(f"find link {name}", [link_request(name)])
        except KernelRefused as refused:
            if refused.errno in GONE:
                return None
            raise
        end = len(message)
        return TunnelLink(read_link(message, 0, end), read_tunnel(message, 0, end))

    def create(self, wish: TunnelWish) -> None:
        """Create it exclusively, down. Raises KernelRefused: EEXIST, EOPNOTSUPP."""
        self._socket.demand(f"create {wish.name}", [create_tunnel(wish)])

    def delete(self, index: int) -> None:
        """Delete a device; the kernel's fallback tunnel stays, absent is fine."""
        self._quietly(f"delete link {index}", [delete_link(index)])

    def change(
        self,
        index: int,
        *,
        alias: str | None = None,
        mac: str | None = None,
        mtu: int | None = None,
        up: bool | None = None,
        settings: LinkSettings | None = None,
    ) -> None:
        """Change what is given, in this order but that `up` is last. Raises KernelRefused."""
        messages = [] if mac is None else [set_mac(index, mac)]
        messages.append(set_link(index, mtu=mtu, alias=alias, settings=settings))
        if up is not None:
            messages.append(set_link(index, up=up))
        self._socket.demand(f"change link {index}", messages)

    def make_no_addresses(self, index: int) -> None:
        """Let IPv6 make no link-local address on it; fine where there is no IPv6."""
        self._socket.request([no_link_local(index)])

    def addresses(self, index: int, version: int) -> tuple[Address, ...]:
        """The addresses of one family on one link."""
        request = addresses_of(index, version)
        found = self._socket.dump(f"list addresses of link {index}", request, read_address)
        return tuple(address for address in found if address.ifindex == index)

    def put_address(self, index: int, address: IPAddress) -> None:
        """Add it as /32 or /128, usable at once. Raises KernelRefused."""
        self._socket.demand(f"add {address}", [put_address(index, ip_interface(address))])

    def drop_address(self, address: Address) -> None:
        """Take it away; absent is fine."""
        self._quietly(f"remove {address.interface}", [drop_address(address)])

    def forwarding(self, index: int) -> tuple[ForwardingEntry, ...]:
        """The forwarding entries of one device."""
        request = forwarding_of(index)
        found = self._socket.dump(f"list FDB of link {index}", request, read_forwarding)
        return tuple(entry for entry in found if entry.ifindex == index)

    def neighbours(self, index: int) -> tuple[NeighbourEntry, ...]:
        """The neighbours of both families on one device."""
        request = neighbours_of(index)
        found = self._socket.dump(f"list neighbours of link {index}", request, read_neighbour)
        return tuple(entry for entry in found if entry.ifindex == index)

    def change_entries(
        self, index: int, changes: Sequence[EntryChange]
    ) -> tuple[KernelRefused | None, ...]:
        """Write in batches; one answer per change, in order. What is gone was dropped well."""
        refusals = self._socket.request([change_entry(index, change) for change in changes])
        return tuple(
            None
            if refusal is None or (isinstance(change, DROPS) and refusal.errno in GONE)
            else KernelRefused(str(change), refusal.errno, refusal.why)
            for change, refusal in zip(changes, refusals, strict=True)
        )

    def events(
        self, indexes: frozenset[int]
    ) -> tuple[frozenset[int], tuple[EntryEvent, ...]] | None:
        """What was told of these links since the last call: whose link or address changed, and entries.

        Never waits. None: too much, or something was lost: look at everything.
        """
        touched: set[int] = set()
        entries: list[EntryEvent] = []
        lost = False
        for _ in range(MAX_DATAGRAMS):
            try:
                data = self._events.recv(READ_BYTES, socket.MSG_DONTWAIT)
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise KernelRefused("read events", error.errno or errno.EIO) from error
                lost = True
                continue
            _look_at(data, indexes, touched, entries)
            lost = lost or len(entries) > MAX_ENTRIES
            if lost:
                entries.clear()
        return None if lost else (frozenset(touched), tuple(entries))

    def _quietly(self, doing: str, messages: Sequence[Message]) -> None:
        for refusal in self._socket.request(messages):
            if refusal is not None and refusal.errno not in GONE:
                raise KernelRefused(doing, refusal.errno, refusal.why)


def _look_at(
    data: bytes, indexes: frozenset[int], touched: set[int], entries: list[EntryEvent]
) -> None:
    """Sort out one datagram; the index stands in the fixed part, so that others cost little."""
    offset, size = 0, len(data)
    while offset + 16 <= size:
        length, kind, _, _, _ = HEADER.unpack_from(data, offset)
        if length < 16:
            return
        body, end = offset + BODY, offset + length
        if kind in {NEWLINK, DELLINK}:
            touched.update({S32.unpack_from(data, body + 4)[0]} & indexes)
        elif kind in {NEWADDR, DELADDR}:
            touched.update({IFADDR.unpack_from(data, body)[4]} & indexes)
        elif kind in {NEWNEIGH, DELNEIGH} and NDMSG.unpack_from(data, body)[1] in indexes:
            entry = read_neighbour(data, offset, end) or read_forwarding(data, offset, end)
            if entry is not None:
                entries.append(EntryEvent(entry, gone=kind == DELNEIGH))
        offset += (length + 3) & ~3
