"""One node's examination: its facts, and probes from it to all the others. Changes nothing.

Needs the rights to look and to send probes (root, or CAP_NET_ADMIN and CAP_NET_RAW).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address

from felix_py.ctl import node_facts
from felix_py.ctl.calc.checkup import Examination, ProbeFact, Target, mtu_of, targets
from felix_py.ctl.calc.facts import Asked, NodeFacts
from felix_py.ctl.calc.world import World
from felix_py.datastore.calc.reachability import Backend, address_of
from felix_py.datastore.model import NodeName
from felix_py.kernel.arp_probe import who_has
from felix_py.kernel.errors import KernelRefused
from felix_py.kernel.icmp_probe import measure
from felix_py.kernel.kernel_view import KernelView
from felix_py.runtime.settings import NodeSettings

AT_ONCE = 32
"""Nodes that are probed at the same time; each takes a round trip when all is well."""


def examine(
    world: World, me: NodeName, settings: NodeSettings, only: frozenset[NodeName]
) -> Examination:
    """Look and probe; `only`: the other nodes to probe, empty: all."""
    asked = Asked(
        about=tuple(
            interface.ip
            for name, node in sorted(world.nodes.items())
            if name != me and (not only or name in only)
            for version in (4, 6)
            if (interface := address_of(node, version)) is not None
        )
    )
    facts = node_facts.collect(me, settings, asked)
    found = mtu_of(world, me, facts.links)
    chosen = [
        target
        for target in targets(world, me, found, Backend(settings.backend))
        if not only or target.node in only
    ]
    names = {link.index: link.name for link in facts.links}
    with ThreadPoolExecutor(AT_ONCE) as pool:
        probes = tuple(pool.map(lambda target: _probe(target, names), chosen))
    return Examination(facts, probes, _claimed(world, me, facts), _neighbours())


def _probe(target: Target, names: dict[int, str]) -> ProbeFact:
    try:
        path = measure(target.address, target.size)
    except KernelRefused as refused:
        return ProbeFact(target.node, str(target.address), target.size, error=str(refused))
    echo, limit = path.echo, path.limit
    return ProbeFact(
        target.node,
        str(target.address),
        target.size,
        path.fits,
        None if echo is None else echo.ttl,
        "" if echo is None else names.get(echo.link, f"#{echo.link}"),
        None if limit is None else limit.mtu,
        "" if limit is None or limit.by is None else str(limit.by),
    )


def _claimed(world: World, me: NodeName, facts: NodeFacts) -> dict[str, tuple[str, ...]]:
    """Who else answers ARP for this node's address. IPv6 finds out by itself."""
    node = world.nodes.get(me)
    own = None if node is None else node.ipv4_address
    link = None if own is None else facts.link(facts.link_with(own.ip))
    if own is None or link is None or not link.up or link.name == "lo" or not link.mac:
        return {}
    mine = {each.mac for each in facts.links}
    try:
        others = sorted(who_has(link.name, link.mac, IPv4Address(own.ip)) - mine)
    except KernelRefused:
        return {}  # a link without ARP
    return {str(own.ip): tuple(others)} if others else {}


def _neighbours() -> dict[str, int]:
    """Entries in the neighbour tables. Permanent ones do not count against the limits."""
    with KernelView() as view:
        entries: Sequence[str] = [
            f"ipv{entry.address.version}"
            for entry in view.neighbours()
            if entry.state not in {"permanent", "noarp"}
        ]
    return dict(Counter(entries))
