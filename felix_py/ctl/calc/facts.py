"""What one node's kernel and daemons were seen to hold: a frozen document that travels as JSON.

`felixctl facts` prints it; explain and doctor read it, of this node directly, of others by remote.py.
"""

from __future__ import annotations

from abc import ABC
from collections.abc import Callable, Mapping
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
    ip_address,
    ip_interface,
    ip_network,
)
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from felix_py.kernel.model import IPAddress, IPInterface, IPNetwork

    _PARSERS: Mapping[type, Callable[[object], object]]
else:
    # msgspec takes one foreign class in a union: these stand for both families when it reads the types.
    class IPAddress(ABC):  # noqa: B024
        """An address of either family."""

    class IPNetwork(ABC):  # noqa: B024
        """A prefix of either family."""

    class IPInterface(ABC):  # noqa: B024
        """An address with its prefix."""

    for _one, _other, _both in (
        (IPv4Address, IPv6Address, IPAddress),
        (IPv4Network, IPv6Network, IPNetwork),
        (IPv4Interface, IPv6Interface, IPInterface),
    ):
        _both.register(_one)
        _both.register(_other)
    _PARSERS = {IPAddress: ip_address, IPNetwork: ip_network, IPInterface: ip_interface}


class _Fact(msgspec.Struct, frozen=True, rename="camel"):
    """Frozen, and spelled in camel case in JSON. Unknown fields, of a newer node, are passed over."""


class LinkFact(_Fact, frozen=True):
    """A link with the settings that decide about packets; None: not told."""

    name: str
    index: int = 0
    kind: str = ""
    alias: str = ""
    mac: str = ""
    mtu: int = 0
    up: bool = False
    running: bool = False
    forwarding4: bool | None = None
    forwarding6: bool | None = None
    proxy_arp: bool | None = None
    proxy_ndp: bool | None = None
    rp_filter: int | None = None
    accept_ra: int | None = None
    parent: str = ""
    """Of a tunnel: the link below it."""
    local: IPAddress | None = None
    vni: int | None = None
    port: int | None = None
    learning: bool | None = None


class AddressFact(_Fact, frozen=True):
    """An address on a link."""

    link: str
    interface: IPInterface


class HopFact(_Fact, frozen=True):
    """One next hop of a route."""

    link: str
    gateway: IPAddress | None = None
    onlink: bool = False


class RouteFact(_Fact, frozen=True):
    """A route of a table. kind: unicast, local, blackhole or other."""

    prefix: IPNetwork
    kind: str = "unicast"
    protocol: int = 0
    metric: int = 0
    table: int = 254
    hops: tuple[HopFact, ...] = ()
    source: IPAddress | None = None


class LookupFact(_Fact, frozen=True):
    """What the kernel says of one packet. `entered_by` empty: one that the host itself sends.

    error: 0, or the errno that the packet meets (route_lookup.py).
    """

    destination: IPAddress
    source: IPAddress | None = None
    entered_by: str = ""
    error: int = 0
    route: RouteFact | None = None


class NeighbourFact(_Fact, frozen=True):
    """A neighbour; mac is empty while none is known."""

    link: str
    address: IPAddress
    mac: str = ""
    state: str = ""


class ForwardingFact(_Fact, frozen=True):
    """A forwarding entry of a VXLAN device: a MAC is behind this host."""

    link: str
    mac: str
    far_end: IPAddress | None = None
    state: str = ""


class PodFact(_Fact, frozen=True):
    """A pod's own side of its link `host_link`, seen inside its namespace.

    lookups: from the pod's address to each end that was asked about. neighbours: on its link.
    """

    host_link: str
    name: str
    up: bool = False
    mtu: int = 0
    addresses: tuple[IPAddress, ...] = ()
    lookups: tuple[LookupFact, ...] = ()
    neighbours: tuple[NeighbourFact, ...] = ()


class NftTableFact(_Fact, frozen=True):
    """A table of nftables. chains: how many rules each has."""

    family: str
    name: str
    chains: Mapping[str, int] = {}
    sets: tuple[str, ...] = ()


class ToldFact(_Fact, frozen=True):
    """A path that a BGP peer told of an address: `refused` says why it is not used."""

    about: IPAddress
    prefix: IPNetwork
    peer: IPAddress
    next_hop: IPAddress
    source: str = ""
    as_path: tuple[int, ...] = ()
    stale: bool = False
    used: bool = False
    refused: str = ""


class DaemonFact(_Fact, frozen=True):
    """A daemon's status file, and whether its process runs."""

    status: Mapping[str, Any] = {}
    running: bool = False


class NodeFacts(_Fact, frozen=True):
    """One look at one node.

    unseen: what could not be looked at, and why. routes: of the main table, those that cover an
    address that was asked about. neighbours, forwarding: those that matter to these addresses.
    nft: None where it could not be read. strangers: addresses asked about that felix's table does not
    count among the nodes, where it has that set: what they send by a tunnel is dropped. told: paths to
    the ends of flows; None: the BGP agent was not asked, or did not answer. tellers: peers that told
    any prefix of the pools these ends are in.
    """

    node: str
    version: str = ""
    backend: str = "bgp"
    links: tuple[LinkFact, ...] = ()
    addresses: tuple[AddressFact, ...] = ()
    lookups: tuple[LookupFact, ...] = ()
    routes: tuple[RouteFact, ...] = ()
    neighbours: tuple[NeighbourFact, ...] = ()
    forwarding: tuple[ForwardingFact, ...] = ()
    sysctls: Mapping[str, int] = {}
    pods: tuple[PodFact, ...] = ()
    nft: tuple[NftTableFact, ...] | None = None
    strangers: tuple[IPAddress, ...] = ()
    told: tuple[ToldFact, ...] | None = None
    tellers: tuple[IPAddress, ...] = ()
    daemons: Mapping[str, DaemonFact] = {}
    unseen: tuple[str, ...] = ()

    def link(self, name: str) -> LinkFact | None:
        """A link by its name."""
        return next((link for link in self.links if link.name == name), None)

    def lookup(
        self, destination: IPAddress, source: IPAddress | None = None, entered_by: str = ""
    ) -> LookupFact | None:
        """The answer to a question, None when it was not asked."""
        asked = (destination, source, entered_by)
        return next(
            (f for f in self.lookups if (f.destination, f.source, f.entered_by) == asked), None
        )

    def pod(self, host_link: str) -> PodFact | None:
        """The pod's side of a link, None when it was not seen."""
        return next((pod for pod in self.pods if pod.host_link == host_link), None)

    def link_with(self, address: IPAddress) -> str:
        """The name of the link that has an address, `` when none has."""
        return next((a.link for a in self.addresses if a.interface.ip == address), "")


class Asked(_Fact, frozen=True):
    """What facts are to be about: packets (from, to), further addresses, pods' links by name."""

    flows: tuple[tuple[IPAddress, IPAddress], ...] = ()
    about: tuple[IPAddress, ...] = ()
    links: tuple[str, ...] = ()

    @property
    def addresses(self) -> tuple[IPAddress, ...]:
        """All of them, each once."""
        return tuple(dict.fromkeys((*(a for flow in self.flows for a in flow), *self.about)))


def encode(facts: NodeFacts) -> bytes:
    """As JSON."""
    return msgspec.json.encode(facts, enc_hook=str)


def decode(text: bytes) -> NodeFacts:
    """From JSON. Raises ValueError, which names the field."""
    return msgspec.json.decode(text, type=NodeFacts, dec_hook=_parsed)


class Told(_Fact, frozen=True):
    """The BGP agent's answer about an address (bgp/told.py)."""

    paths: tuple[ToldFact, ...]
    tellers_of_pool: tuple[IPAddress, ...] = ()


def told_from(about: IPAddress, answer: Mapping[str, Any]) -> Told:
    """The BGP agent's answer, typed. Raises ValueError."""
    paths = answer.get("paths")
    whole = [{**each, "about": str(about)} for each in paths or () if isinstance(each, dict)]
    return msgspec.convert({**answer, "paths": whole}, Told, dec_hook=_parsed)


def _parsed(kind: type, value: object) -> object:
    return _PARSERS[kind](value)
