"""Pure: what is wrong between two nodes, from one side or, where both were looked at, from both."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from ipaddress import ip_address

from felix_py.ctl.calc import doctor_node
from felix_py.ctl.calc.checkup import Checkup, Examination, Finding, ProbeFact, Problem
from felix_py.ctl.calc.doctor_node import effective_rp_filter, uplinks
from felix_py.ctl.findings import mapping
from felix_py.datastore.calc.reachability import address_of
from felix_py.datastore.model import Node, NodeName

FIRST_TTLS = (64, 128, 255)
"""What senders start with (Linux and BSD, Windows, routers)."""


def judge(checkup: Checkup) -> list[Finding]:
    """Everything that is wrong, by node: its own settings first, then its way to each other node."""
    found: list[Finding] = list(_sizes(checkup))
    for name in sorted(checkup.seen):
        seen = checkup.seen[name]
        found += doctor_node.judge(checkup, seen)
        node = checkup.world.nodes.get(name)
        for other in checkup.others(name) if node is not None else ():
            assert node is not None
            for version in (4, 6):
                found += _pair(checkup, seen, node, other, version)
    return found


def _sizes(checkup: Checkup) -> Iterator[Finding]:
    """Nodes whose pods have another MTU than most, as their felix last published."""
    pods: dict[NodeName, int] = {}
    for name, documents in checkup.world.statuses.items():
        size = mapping(documents.get("felix", {}).get("mtu")).get("pod")
        if isinstance(size, int):
            pods[name] = size
    if len(set(pods.values())) < 2:
        return
    usual = Counter(sorted(pods.values())).most_common(1)[0][0]
    for name, size in sorted(pods.items()):
        if size != usual:
            yield Finding(
                Problem.MTU,
                name,
                "its pods' MTU is not that of other nodes: between them the smaller one must be found for "
                "each connection, by ICMP that is often filtered",
                f"{size} here, {usual} on most nodes",
                "give the uplinks of all nodes one MTU, or set mtuIfacePattern so that it is found",
                wrong=False,
            )


def _pair(
    checkup: Checkup, seen: Examination, node: Node, other: Node, version: int
) -> Iterator[Finding]:
    yield from _prefixes(checkup, node, other, version)
    probe = seen.probe_of(other.name, version)
    if probe is None:
        return
    if probe.fits == 0:
        yield _no_answer(checkup, seen, other, probe)
        return
    if probe.fits < probe.wanted:
        yield _path_mtu(seen, other, probe)
    why = _asymmetry(checkup, seen, node, other, version)
    if why is not None:
        yield Finding(
            Problem.ASYMMETRIC,
            seen.node,
            f"packets to {other.name} take another way than those from it",
            why,
            "compare `ip route get` on both nodes; where firewalls keep state on the way, or rp_filter is "
            "1, make both directions take one way",
            other=other.name,
            wrong=False,
        )


def _prefixes(checkup: Checkup, node: Node, other: Node, version: int) -> Iterator[Finding]:
    """Told once per pair, by the first node that was looked at; a host's length is told by itself."""
    mine, theirs = address_of(node, version), address_of(other, version)
    if mine is None or theirs is None or mine.ip == theirs.ip:
        return
    if mine.max_prefixlen in {mine.network.prefixlen, theirs.network.prefixlen}:
        return
    if other.name in checkup.seen and other.name < node.name:
        return
    if (theirs.ip in mine.network) != (mine.ip in theirs.network):
        yield Finding(
            Problem.PREFIXES,
            node.name,
            f"by one prefix {node.name} and {other.name} are on one subnet, by the other they are not",
            f"{node.name} is {mine}, {other.name} is {theirs}",
            f"set felix.ipv{version}Address with the right length in the configuration of the node whose "
            "prefix is wrong, correct its link's, and restart felix-agent",
            other=other.name,
        )


def _no_answer(checkup: Checkup, seen: Examination, other: Node, probe: ProbeFact) -> Finding:
    hops = seen.hops_to(ip_address(probe.address))
    way = ", ".join(f"via {hop.gateway or 'the link'} dev {hop.link}" for hop in hops) or "no route"
    error = f", {probe.error}" if probe.error else ""
    links = {hop.link for hop in hops}
    strict = [
        link.name
        for link in uplinks(checkup, seen)
        if link.name not in links and effective_rp_filter(seen, link) == 1
    ]
    change = f"ip route get {probe.address}; ip neigh show {probe.address}; is ICMP let through?"
    if strict:
        setting = f"net.ipv4.conf.{strict[0]}.rp_filter"
        change += f" Answers that enter by {strict[0]} are dropped: sysctl -w {setting}=2"
    return Finding(
        Problem.NO_ANSWER,
        seen.node,
        f"{other.name} does not answer at {probe.address}",
        f"{way}{error}",
        change,
        other=other.name,
    )


def _path_mtu(seen: Examination, other: Node, probe: ProbeFact) -> Finding:
    links = sorted({hop.link for hop in seen.hops_to(ip_address(probe.address))})
    dev = links[0] if links else "DEV"
    if probe.limit is None:
        who = "nobody says so: what is larger vanishes"
        where = f"find the link between the two that carries {probe.fits} only"
    elif probe.limited_by:
        who = f"{probe.limited_by} says {probe.limit}"
        where = f"raise the MTU of {probe.limited_by}'s link towards {probe.address}"
    else:
        who, where = f"{dev} of this node takes no more", f"raise the MTU of {dev}"
    return Finding(
        Problem.PATH_MTU,
        seen.node,
        f"packets of pods to {other.name} are up to {probe.wanted} bytes on the wire, "
        f"{probe.fits} fit",
        f"DF-probe to {probe.address}: {probe.fits} of {probe.wanted} answered; {who}",
        f"{where} to {probe.wanted}; or, on all nodes, ip link set dev {dev} mtu {probe.fits}, and "
        "felixctl mtu fix for the pods that run",
        other=other.name,
    )


def _asymmetry(
    checkup: Checkup, seen: Examination, node: Node, other: Node, version: int
) -> str | None:
    """What shows that the two directions differ; None: nothing does."""
    far, own = address_of(other, version), address_of(node, version)
    probe = seen.probe_of(other.name, version)
    if far is None or own is None or probe is None:
        return None
    hops = seen.hops_to(far.ip)
    links = {hop.link for hop in hops}
    if links and probe.arrived and probe.arrived not in links:
        return f"sent by {', '.join(sorted(links))}, answered by {probe.arrived}"
    back = _routers(probe.ttl)
    if hops and all(hop.gateway is None for hop in hops) and back:
        return f"{other.name} is on {', '.join(sorted(links))}, but its answers pass {back} routers"
    there = checkup.seen.get(other.name)
    if there is None or other.name < node.name:
        return None  # told by the first of the two
    reverse = there.probe_of(node.name, version)
    forth = _routers(reverse.ttl) if reverse is not None and reverse.fits else None
    if back is not None and forth is not None and back != forth:
        return f"{forth} routers towards {other.name}, {back} on the way back"
    return None


def _routers(ttl: int | None) -> int | None:
    """How many routers an answer passed, taking the nearest usual first value."""
    if ttl is None:
        return None
    return min(first - ttl for first in FIRST_TTLS if first >= ttl)
