"""`felixctl facts`: looks at this node's kernel and daemons, for explain and doctor; changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from ipaddress import ip_network
from typing import TypeVar

from felix_py.ctl import bgp_question
from felix_py.ctl.calc.facts import (
    AddressFact,
    Asked,
    ForwardingFact,
    HopFact,
    LinkFact,
    LookupFact,
    NeighbourFact,
    NftTableFact,
    NodeFacts,
    PodFact,
    RouteFact,
    Told,
)
from felix_py.ctl.findings import DAEMONS
from felix_py.ctl.node_files import daemon_fact, sysctls
from felix_py.ctl.pod_facts import look_inside
from felix_py.kernel.errors import KernelRefused
from felix_py.kernel.kernel_view import KernelView, SeenTable
from felix_py.kernel.model import (
    MAIN_TABLE,
    IPAddress,
    IPNetwork,
    Link,
    NextHop,
    Route,
    RouteKind,
)
from felix_py.kernel.ownership import LINK_PREFIX, NFT_TABLE
from felix_py.kernel.pyroute2_kernel import Pyroute2Kernel
from felix_py.kernel.route_lookup import Match, Question
from felix_py.kernel.tunnel_dump import TunnelDetail
from felix_py.runtime.errors import FelixPyError
from felix_py.runtime.settings import NodeSettings
from felix_py.runtime.version import VERSION

T = TypeVar("T")

MAX_ENTRY_LINKS = 32
"""Links by which a packet is imagined to enter; further ones are left out, and that is said."""
OUR_TABLE = ("inet", NFT_TABLE)


def collect(node: str, settings: NodeSettings, asked: Asked) -> NodeFacts:
    """One look at the calling process's network namespace and at the daemons' status files."""
    with Pyroute2Kernel() as kernel, KernelView() as view:
        return _Look(kernel, view).facts(node, settings, asked)


class _Look:
    """Everything of one look; what cannot be read is noted in `unseen` and left out."""

    def __init__(self, kernel: Pyroute2Kernel, view: KernelView) -> None:
        self._kernel, self._view = kernel, view
        self._unseen: list[str] = []
        self._links: tuple[Link, ...] = self._list("links", kernel.links)
        self._names: dict[int, str] = {link.index: link.name for link in self._links}

    def facts(self, node: str, settings: NodeSettings, asked: Asked) -> NodeFacts:
        """The whole document."""
        run_dir = settings.run_dir
        told = self._told(run_dir, asked)
        lookups = tuple(self._lookups(asked))
        reached = {hop.gateway for found in lookups if found.route for hop in found.route.hops}
        matter = {*asked.addresses, *reached} - {None}
        neighbours = tuple(self._neighbours(matter))
        macs = {neighbour.mac for neighbour in neighbours if neighbour.mac}
        tunnels: dict[int, TunnelDetail] = self._try("tunnels", self._view.tunnels, {})
        nft: tuple[SeenTable, ...] | None = self._try("nftables", self._view.nft_tables, None)
        return NodeFacts(
            node=node,
            version=VERSION,
            backend=settings.backend,
            links=tuple(
                self._link(link, tunnels.get(link.index))
                for link in self._matter(lookups, asked.links)
            ),
            addresses=tuple(
                AddressFact(self._name(found.ifindex), found.interface)
                for found in self._list("addresses", self._kernel.addresses)
            ),
            lookups=lookups,
            routes=tuple(self._covering(asked.addresses)),
            neighbours=neighbours,
            forwarding=tuple(self._forwarding(matter, macs)),
            pods=tuple(self._pods(run_dir, asked)),
            sysctls=dict(sysctls()),
            nft=None if nft is None else tuple(map(_nft, nft)),
            strangers=tuple(self._strangers(nft or (), asked.about)),
            told=None if told is None else tuple(path for each in told for path in each.paths),
            tellers=tuple(dict.fromkeys(a for each in told or () for a in each.tellers_of_pool)),
            daemons={daemon: daemon_fact(run_dir, daemon) for daemon in DAEMONS},
            unseen=tuple(self._unseen),
        )

    def _list(self, what: str, look: Callable[[], tuple[T, ...]]) -> tuple[T, ...]:
        nothing: tuple[T, ...] = ()
        return self._try(what, look, nothing)

    def _try(self, what: str, look: Callable[[], T], otherwise: T) -> T:
        try:
            return look()
        except (FelixPyError, OSError, LookupError) as error:
            self._unseen.append(f"{what}: {error}")
            return otherwise

    def _matter(self, lookups: Iterable[LookupFact], links: Iterable[str]) -> Iterator[Link]:
        """The host's own links, and of the pods' those that are asked about or that a lookup names."""
        named = {found.entered_by for found in lookups} | set(links)
        named |= {hop.link for found in lookups if found.route for hop in found.route.hops}
        return (
            link
            for link in self._links
            if not link.name.startswith(LINK_PREFIX) or link.name in named
        )

    def _lookups(self, asked: Asked) -> Iterator[LookupFact]:
        """Each address as the host itself would reach it, each flow as it enters by each link."""
        plain = {address: self._ask(Question(address)) for address in asked.addresses}
        yield from plain.values()
        uplinks = [
            link
            for link in self._links
            if link.up and link.name != "lo" and not link.name.startswith(LINK_PREFIX)
        ]
        if len(uplinks) > MAX_ENTRY_LINKS:
            self._unseen.append(f"packets that enter by others than {MAX_ENTRY_LINKS} links")
        for source, destination in asked.flows:
            route = plain[source].route
            pods = {hop.link for hop in route.hops} if route is not None else set()
            pods |= set(asked.links)
            veths = [
                each
                for each in self._links
                if each.name in pods and each.name.startswith(LINK_PREFIX)
            ]
            for link in (*veths, *uplinks[:MAX_ENTRY_LINKS]):
                yield self._ask(Question(destination, source, link.index))

    def _ask(self, question: Question) -> LookupFact:
        error, route = 0, None
        try:
            route = self._match(self._view.lookup(question))
        except KernelRefused as refused:
            error = refused.errno
        entered_by = self._name(question.entered_by) if question.entered_by else ""
        return LookupFact(question.destination, question.source, entered_by, error, route)

    def _match(self, match: Match) -> RouteFact:
        return RouteFact(
            match.prefix,
            _kind(match.kind),
            match.protocol,
            match.metric,
            match.table,
            tuple(map(self._hop, match.next_hops)),
            match.source,
        )

    def _covering(self, addresses: Iterable[IPAddress]) -> Iterator[RouteFact]:
        prefixes = frozenset(prefix for address in addresses for prefix in _supernets(address))
        found: tuple[Route, ...] = ()
        if prefixes:
            found = self._list("routes", lambda: self._kernel.routes_to(prefixes, MAIN_TABLE))
        for route in sorted(found, key=lambda r: (-r.key.prefix.prefixlen, r.key.metric)):
            key = route.key
            hops = tuple(map(self._hop, route.next_hops))
            yield RouteFact(
                key.prefix,
                _kind(route.kind),
                route.protocol,
                key.metric,
                key.table,
                hops,
                route.source,
            )

    def _neighbours(self, matter: set[IPAddress | None]) -> Iterator[NeighbourFact]:
        for found in self._list("neighbours", self._view.neighbours):
            if found.address in matter:
                name = self._name(found.ifindex)
                yield NeighbourFact(name, found.address, found.mac, found.state)

    def _forwarding(
        self, matter: set[IPAddress | None], macs: set[str]
    ) -> Iterator[ForwardingFact]:
        for found in self._list("FDB", self._view.forwarding):
            if found.far_end is not None and (found.far_end in matter or found.mac in macs):
                name = self._name(found.ifindex)
                yield ForwardingFact(name, found.mac, found.far_end, found.state)

    def _pods(self, run_dir: str, asked: Asked) -> Iterator[PodFact]:
        ends = dict.fromkeys(end for flow in asked.flows for end in flow)
        for link in self._links:
            if link.name in asked.links:
                nothing: PodFact | None = None
                look = partial(look_inside, link, run_dir, ends)
                found = self._try(f"inside the pod of {link.name}", look, nothing)
                yield from () if found is None else (found,)

    def _strangers(
        self, tables: Iterable[SeenTable], about: Iterable[IPAddress]
    ) -> Iterator[IPAddress]:
        sets = {name for t in tables if (t.family, t.name) == OUR_TABLE for name in t.sets}
        for version in (4, 6):
            name = f"nodes{version}"
            asked = [address for address in about if address.version == version]
            if name not in sets or not asked:
                continue
            all_known = frozenset(address.packed for address in asked)
            known = self._try(
                f"set {name}", partial(self._view.nft_elements, *OUR_TABLE, name), all_known
            )
            yield from (address for address in asked if address.packed not in known)

    def _told(self, run_dir: str, asked: Asked) -> list[Told] | None:
        ends = dict.fromkeys(end for flow in asked.flows for end in flow)
        nothing: list[Told] | None = None
        return self._try(
            "paths of BGP peers",
            lambda: [bgp_question.ask(run_dir, end) for end in ends],
            nothing,
        )

    def _link(self, link: Link, tunnel: TunnelDetail | None) -> LinkFact:
        detail = tunnel or TunnelDetail(link.index)
        settings = link.settings
        return LinkFact(
            name=link.name,
            index=link.index,
            kind=link.kind,
            alias=link.alias,
            mac=link.mac,
            mtu=link.mtu,
            up=link.up,
            running=link.running,
            forwarding4=settings.forwarding4,
            forwarding6=settings.forwarding6,
            proxy_arp=settings.proxy_arp,
            proxy_ndp=settings.proxy_ndp,
            rp_filter=settings.rp_filter,
            accept_ra=settings.accept_ra,
            parent=self._names.get(detail.parent, "") if link.kind != "veth" else "",
            local=detail.local,
            vni=detail.vni,
            port=detail.port,
            learning=detail.learning,
        )

    def _hop(self, hop: NextHop) -> HopFact:
        return HopFact(self._name(hop.ifindex), hop.gateway, hop.onlink)

    def _name(self, index: int) -> str:
        return self._names.get(index, f"#{index}")


def _supernets(address: IPAddress) -> Iterator[IPNetwork]:
    for length in range(address.max_prefixlen + 1):
        yield ip_network(f"{address}/{length}", strict=False)


def _kind(kind: RouteKind) -> str:
    return kind.name.lower()


def _nft(table: SeenTable) -> NftTableFact:
    return NftTableFact(table.family, table.name, dict(table.chains), table.sets)
