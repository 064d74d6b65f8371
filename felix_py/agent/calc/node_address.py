"""Pure: which address of this host is the node's own, with its prefix, and how that was found.

The prefix decides whether two nodes share a subnet, so a wrong one tunnels everything or nothing;
a wrong interface (docker's bridge, a virtual address) breaks every session. Therefore the way an
address was found is always kept beside it, and a /32 is never taken without saying so.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address, ip_interface, ip_network

from felix_py.kernel.model import (
    Address,
    IPAddress,
    IPInterface,
    Link,
    Route,
    RouteKind,
    Scope,
)
from felix_py.runtime.errors import RefusedError

AUTO = "auto"
NONE = "none"
FORMS = (
    "auto, none, an address with or without prefix, cidr=A/L[,..], interface=NAME[,..], can-reach=A"
)

NEVER_UPLINKS = re.compile(r"lo|cali.*|tunl.*|vxlan.*|wireguard\.cali|wg-v6\.cali|docker.*|br-.*")
"""Not the node's address, even when a default route points there."""
SELDOM_UPLINKS = re.compile(
    r"cbr.*|dummy.*|virbr.*|lxcbr.*|lxdbr.*|veth.*|flannel.*|cni.*|kube-ipvs.*|nodelocaldns.*|podman.*"
)
"""Not guessed at when nothing points there (Calico's list of interfaces to skip)."""


NO_SUBNET = "; host prefix"
"""Ends the way an address was found when the host gives it no subnet."""


class BadMethod(RefusedError):
    """The configured way of finding the address cannot be understood."""


@dataclass(frozen=True, slots=True)
class HostView:
    """What the kernel shows. `routes`: the underlay's unicast routes of the main table, not ours."""

    links: tuple[Link, ...]
    addresses: tuple[Address, ...]
    routes: tuple[Route, ...]


@dataclass(frozen=True, slots=True)
class Detection:
    """An address (None: none found), how it was found, and what people should know about it."""

    interface: IPInterface | None
    how: str
    warning: str | None = None
    steady: bool = True
    """False for a guess: a better answer replaces it even while the address exists."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """What an earlier detection of ours left in the Node object."""

    interface: IPInterface
    method: str
    how: str
    steady: bool


def check(method: str, version: int) -> None:
    """Raises BadMethod, naming the forms that are understood."""
    kind, _, rest = method.partition("=")
    try:
        if kind == "cidr":
            wanted = [ip_network(text) for text in rest.split(",")]
            right = all(network.version == version for network in wanted)
        elif kind == "interface":
            right = all(re.compile(text) for text in rest.split(",")) and bool(rest)
        elif kind == "can-reach":
            right = ip_address(rest).version == version
        else:
            right = method in (AUTO, NONE) or ip_interface(method).version == version
    except (ValueError, re.error):
        right = False
    if not right:
        raise BadMethod(f"felix.ipv{version}Address: {method!r} is not one of: {FORMS}")


def detect(version: int, method: str, view: HostView, recorded: Recorded | None) -> Detection:
    """The node's address of this IP version. `method` has passed `check`.

    A recorded address that this method found before, and that the host still has, stays: a new
    default route must not move a running node. A changed method looks afresh.
    """
    if method == NONE:
        return Detection(None, "not wanted (none)")
    candidates = _Candidates(version, view)
    if recorded is not None and recorded.method == method and recorded.steady:
        kept = candidates.exactly(recorded.interface)
        if kept is not None:
            return _finish(Detection(kept, recorded.how), candidates)
    return _finish(_look(method, candidates), candidates)


def _look(method: str, candidates: _Candidates) -> Detection:
    kind, _, rest = method.partition("=")
    match kind:
        case "cidr":
            return candidates.in_cidrs(rest)
        case "interface":
            return candidates.on_interfaces(rest)
        case "can-reach":
            return candidates.towards(ip_address(rest), f"can-reach={rest}")
        case "auto":
            return candidates.by_default_route()
        case _:
            return candidates.configured(method)


def _finish(found: Detection, candidates: _Candidates) -> Detection:
    """Never a bare host prefix silently: take the connected subnet's, or say that there is none."""
    interface = found.interface
    if interface is None or interface.network.prefixlen < interface.max_prefixlen:
        return found
    length = candidates.connected_prefix(interface)
    if length is not None:
        wider = ip_interface(f"{interface.ip}/{length}")
        return Detection(wider, f"{found.how}; prefix of the connected route", None, found.steady)
    warning = (
        f"{interface}: the host gives this address no subnet, so no other node counts as being on "
        f"the same subnet; set felix.ipv{interface.version}Address to the address with its prefix"
    )
    how = found.how.removesuffix(NO_SUBNET) + NO_SUBNET
    return Detection(interface, how, warning, found.steady)


class _Candidates:
    """The addresses of one IP version that could be the node's, in the kernel's order."""

    def __init__(self, version: int, view: HostView) -> None:
        self._version = version
        self._view = view
        self._names = {link.index: link.name for link in view.links if link.up}

    def exactly(self, wanted: IPInterface) -> IPInterface | None:
        """The address if the host has it, with the recorded prefix."""
        return wanted if any(a.interface.ip == wanted.ip for a in self._present()) else None

    def configured(self, text: str) -> Detection:
        """An address given by name; without a prefix it takes the host's own."""
        wanted = ip_interface(text)
        for address in self._present():
            if address.interface.ip == wanted.ip:
                given = "/" in text
                return Detection(
                    wanted if given else address.interface,
                    f"configured {text} on {self._names[address.ifindex]}",
                )
        return self._nothing(f"configured {text}", "the host does not have this address")

    def in_cidrs(self, text: str) -> Detection:
        """The first address inside one of the networks, tried in their order."""
        for network in (ip_network(part) for part in text.split(",")):
            for address in self._usable():
                if address.interface.ip in network:
                    return self._found(address, f"inside {network}")
        return self._nothing(f"cidr={text}", "no address of this host is inside")

    def on_interfaces(self, text: str) -> Detection:
        """The first address of an interface whose whole name one of the patterns matches."""
        for pattern in text.split(","):
            for address in self._usable():
                if re.fullmatch(pattern, self._names[address.ifindex]):
                    return self._found(address, f"interface={pattern}")
        return self._nothing(f"interface={text}", "no such interface is up with an address")

    def by_default_route(self) -> Detection:
        """The source address of the default route with the lowest metric, else a guess."""
        nowhere = ip_address("0.0.0.0" if self._version == 4 else "::")  # noqa: S104
        found = self.towards(nowhere, "default route")
        if found.interface is not None:
            return found
        for address in self._usable():
            if not SELDOM_UPLINKS.fullmatch(self._names[address.ifindex]):
                guess = self._found(address, "no default route, first address")
                return Detection(guess.interface, guess.how, steady=False)
        return self._nothing("auto", "no interface has a global address")

    def towards(self, target: IPAddress, how: str) -> Detection:
        """The source address towards a target by the longest, then cheapest, route."""
        covering = [r for r in self._routes() if target in r.key.prefix]
        covering.sort(key=lambda r: (-r.key.prefix.prefixlen, r.key.metric))
        for route in covering:
            for hop in route.next_hops:
                address = self._source(route, hop.ifindex, hop.gateway)
                if address is not None:
                    return self._found(address, how)
        return self._nothing(how, "no route leads there")

    def connected_prefix(self, interface: IPInterface) -> int | None:
        """The prefix length of a route without gateway that contains a host-prefix address."""
        on = {a.ifindex for a in self._present() if a.interface.ip == interface.ip}
        lengths = [
            route.key.prefix.prefixlen
            for route in self._routes()
            if interface.ip in route.key.prefix
            and 0 < route.key.prefix.prefixlen < interface.max_prefixlen
            and any(hop.gateway is None and hop.ifindex in on for hop in route.next_hops)
        ]
        return max(lengths, default=None)

    def _source(self, route: Route, ifindex: int, gateway: IPAddress | None) -> Address | None:
        usable = [a for a in self._usable() if a.ifindex == ifindex]
        if route.source is not None:
            usable = [a for a in usable if a.interface.ip == route.source]
        beside = [a for a in usable if gateway is not None and gateway in a.interface.network]
        return next(iter(beside or usable), None)

    def _routes(self) -> Iterator[Route]:
        for route in self._view.routes:
            if route.kind is RouteKind.UNICAST and route.key.prefix.version == self._version:
                yield route

    def _present(self) -> Iterator[Address]:
        """Every address of the version on a link that is up: what an operator may name."""
        for address in self._view.addresses:
            if address.ifindex in self._names and address.interface.version == self._version:
                yield address

    def _usable(self) -> Iterator[Address]:
        """Those that may be found without being named."""
        for address in self._present():
            if (
                not NEVER_UPLINKS.fullmatch(self._names[address.ifindex])
                and address.scope is Scope.UNIVERSE
                and not (address.deprecated or address.tentative or address.secondary)
            ):
                yield address

    def _found(self, address: Address, how: str) -> Detection:
        return Detection(address.interface, f"{how} via {self._names[address.ifindex]}")

    def _nothing(self, how: str, why: str) -> Detection:
        warning = f"no IPv{self._version} address for this node: {how}: {why}"
        return Detection(None, how, warning, steady=False)
