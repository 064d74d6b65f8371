"""Looks at this host's network stack for people and checks; changes nothing.

What the daemons keep goes through port.Kernel; here is what only a diagnosis asks: which route one packet
takes, neighbours, forwarding entries, tunnels' parameters, nftables' tables.
"""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Self

from felix_py.kernel.conntrack import NETLINK_NETFILTER
from felix_py.kernel.errors import KernelRefused
from felix_py.kernel.link_dump import address_dump_request, link_dump_request, read_address
from felix_py.kernel.model import Address
from felix_py.kernel.namespace import entered_by_name
from felix_py.kernel.neighbour_dump import (
    ForwardingEntry,
    NeighbourEntry,
    forwarding_dump_request,
    neighbour_dump_request,
    read_forwarding,
    read_neighbour,
)
from felix_py.kernel.netlink_format import Message, attributes, c_string, text
from felix_py.kernel.netlink_wire import NetlinkSocket
from felix_py.kernel.route_lookup import Match, Question, lookup_request, read_match
from felix_py.kernel.tunnel_dump import TunnelDetail, read_tunnel

NFT_GETTABLE, NFT_GETCHAIN, NFT_GETRULE, NFT_GETSET = 0x0A01, 0x0A04, 0x0A07, 0x0A0A
"""NFNL_SUBSYS_NFTABLES << 8 with NFT_MSG_GETTABLE, _GETCHAIN, _GETRULE, _GETSET (nf_tables.h)."""
NFTA_TABLE, NFTA_CHAIN_NAME, NFTA_RULE_CHAIN, NFTA_SET_NAME = 1, 3, 2, 2
NFT_GETSETELEM = 0x0A0D
NFTA_LIST_TABLE, NFTA_LIST_SET, NFTA_LIST_ELEMENTS, NFTA_ELEM_KEY, NFTA_DATA_VALUE = 1, 2, 3, 1, 1
NFT_FAMILIES = {1: "inet", 2: "ip", 3: "arp", 5: "netdev", 7: "bridge", 10: "ip6"}
NFT_BODY = 16 + 4
"""A netlink and an nfnetlink header: where the attributes start."""


@dataclass(frozen=True, slots=True)
class SeenTable:
    """A table of nftables: its chains with how many rules each has, and the names of its sets."""

    family: str
    name: str
    chains: Mapping[str, int] = field(default_factory=dict)
    sets: tuple[str, ...] = ()


class KernelView:
    """One look after the other, in the calling process's namespace or one that iproute2 named."""

    def __init__(self, netns: str | None = None, opened: NetlinkSocket | None = None) -> None:
        """`opened`: a socket of another namespace, which is closed with the view."""
        self._netns = netns
        if opened is not None:
            self._route = opened
            return
        with entered_by_name(netns):
            self._route = NetlinkSocket()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the socket; safe to repeat."""
        self._route.close()

    def lookup(self, question: Question) -> Match:
        """The route that the kernel takes. Raises KernelRefused with the packet's own error."""
        doing = f"look up {question.destination}"
        return read_match(self._route.ask(doing, [lookup_request(question)]))

    def addresses(self) -> tuple[Address, ...]:
        """Every address of both families."""
        return tuple(self._route.dump("list addresses", address_dump_request(), read_address))

    def neighbours(self) -> tuple[NeighbourEntry, ...]:
        """Every neighbour of both families."""
        found = self._route.dump("list neighbours", neighbour_dump_request(), read_neighbour)
        return tuple(found)

    def forwarding(self) -> tuple[ForwardingEntry, ...]:
        """Every forwarding entry; none where the kernel has neither bridge nor VXLAN."""
        try:
            found = self._route.dump("list FDB", forwarding_dump_request(), read_forwarding)
        except KernelRefused:
            return ()
        return tuple(found)

    def tunnels(self) -> dict[int, TunnelDetail]:
        """Every link's detail by its index."""
        found = self._route.dump("list tunnels", link_dump_request(), read_tunnel)
        return {detail.index: detail for detail in found}

    def nft_elements(self, family: str, table: str, name: str) -> frozenset[bytes]:
        """The keys of a set's elements, as the kernel packs them. Raises KernelRefused."""
        number = next(number for number, known in NFT_FAMILIES.items() if known == family)
        body = bytes((number, 0, 0, 0)) + text(NFTA_LIST_TABLE, table) + text(NFTA_LIST_SET, name)
        with self._netfilter() as opened:
            message = Message(NFT_GETSETELEM, 0, body)
            return frozenset().union(*opened.dump(f"list set {name}", message, _keys))

    def nft_tables(self) -> tuple[SeenTable, ...]:
        """The tables of nftables. Raises KernelRefused: no privilege, or no nftables here."""
        with self._netfilter() as opened:
            tables = _names(opened, NFT_GETTABLE, (NFTA_TABLE,))
            chains = _names(opened, NFT_GETCHAIN, (NFTA_TABLE, NFTA_CHAIN_NAME))
            sets = _names(opened, NFT_GETSET, (NFTA_TABLE, NFTA_SET_NAME))
            rules = Counter(_names(opened, NFT_GETRULE, (NFTA_TABLE, NFTA_RULE_CHAIN)))
        return tuple(
            SeenTable(
                family,
                name,
                {each: rules[family, name, each] for each in _of(chains, family, name)},
                _of(sets, family, name),
            )
            for family, name in sorted(tables)
        )

    def _netfilter(self) -> NetlinkSocket:
        try:
            with entered_by_name(self._netns):
                return NetlinkSocket(NETLINK_NETFILTER, strict=False)
        except OSError as error:
            raise KernelRefused("open nftables", error.errno or 0) from error


def _keys(data: bytes, start: int, end: int) -> frozenset[bytes]:
    """The keys of one message of a set's dump."""
    found = dict(attributes(data[start:end], NFT_BODY))
    return frozenset(
        dict(attributes(key, 0)).get(NFTA_DATA_VALUE, b"")
        for _, element in attributes(found.get(NFTA_LIST_ELEMENTS, b""), 0)
        for kind, key in attributes(element, 0)
        if kind == NFTA_ELEM_KEY
    )


def _of(found: Iterable[tuple[str, ...]], family: str, table: str) -> tuple[str, ...]:
    return tuple(sorted(item[2] for item in found if item[:2] == (family, table)))


def _names(opened: NetlinkSocket, kind: int, wanted: tuple[int, ...]) -> list[tuple[str, ...]]:
    """(family, name in each wanted attribute) of everything of a kind."""

    def read(data: bytes, start: int, end: int) -> tuple[str, ...]:
        found = dict(attributes(data[start:end], NFT_BODY))
        family = NFT_FAMILIES.get(data[start + 16], str(data[start + 16]))
        return (family, *(c_string(found.get(each, b"")) for each in wanted))

    everything = Message(kind, 0, bytes((socket.AF_UNSPEC, 0, 0, 0)))
    return opened.dump("list nftables", everything, read)
