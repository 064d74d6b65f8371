"""Reads the routes below ours, this host's links and addresses; tells when that is worth repeating."""

from __future__ import annotations

from collections.abc import Iterable

from bgp.calc.next_hops import Underlay
from bgp.model import IPAddress, IPNetwork
from felix_py.kernel.model import MAIN_TABLE
from felix_py.kernel.ownership import BGP, FELIX
from felix_py.kernel.port import Kernel

OURS = frozenset({FELIX.route_protocol, BGP.route_protocol})


class UnderlayReader:
    """The kernel's view below our routes. One thread owns it."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self.addresses: frozenset[IPAddress] = frozenset()
        """Every address of this host."""

    def read(self) -> Underlay:
        """List links, addresses and foreign routes anew. Raises DumpInterrupted, KernelRefused."""
        links = self._kernel.links()
        self.addresses = frozenset(a.interface.ip for a in self._kernel.addresses())
        return Underlay(self._kernel.routes(MAIN_TABLE, passing_over=OURS), links)


def touches_underlay(prefixes: Iterable[IPNetwork], pools: Iterable[IPNetwork]) -> bool:
    """Whether changes at these prefixes may move a next hop: those inside pools are pods' and ours."""
    ranges = tuple(pools)
    return any(not _inside(prefix, ranges) for prefix in prefixes)


def _inside(prefix: IPNetwork, ranges: tuple[IPNetwork, ...]) -> bool:
    return any(
        prefix.version == outer.version
        and outer.prefixlen <= prefix.prefixlen
        and prefix.network_address in outer
        for outer in ranges
    )
