"""Pure: what is wrong with one node's own settings, as far as they concern packets between nodes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from felix_py.agent.calc.mtu import OVERHEAD, TUNNEL_KINDS, Encapsulation
from felix_py.ctl.calc.checkup import Checkup, Examination, Finding, Problem, mtu_of, ways_between
from felix_py.ctl.calc.facts import LinkFact
from felix_py.ctl.findings import mapping, mappings
from felix_py.datastore.calc.reachability import Backend, Way, address_of
from felix_py.datastore.model import EncapMode, Node
from felix_py.kernel.ownership import IPIP_LINK, LINK_PREFIX, VXLAN_LINKS

NEARLY_FULL = 0.8
"""Of a table's limit: above it bursts are refused."""
LEAST_CONNTRACK = 16384
"""Connections; the kernel's own default is above it on every machine with 512 MB of memory."""
DEFAULT_NEIGHBOURS = 1024
TUNNELS = {
    IPIP_LINK: Encapsulation.IPIP,
    VXLAN_LINKS[4]: Encapsulation.VXLAN,
    VXLAN_LINKS[6]: Encapsulation.VXLAN6,
}


def judge(checkup: Checkup, seen: Examination) -> Iterator[Finding]:
    """Every finding of this node by itself."""
    node = checkup.world.nodes.get(seen.node)
    if node is None:
        return
    yield from _forwarding(checkup, seen)
    yield from _rp_filter(checkup, seen, node)
    yield from _conntrack(seen)
    yield from _neighbours(checkup, seen)
    yield from _own_addresses(checkup, seen, node)
    yield from _mtu(checkup, seen)
    yield from _ecmp(checkup, seen)


def uplinks(checkup: Checkup, seen: Examination) -> list[LinkFact]:
    """Links by which this node talks to others: that have its address, or are on the way to one."""
    node = checkup.world.nodes.get(seen.node)
    own = [] if node is None else [address_of(node, 4), address_of(node, 6)]
    names = {seen.facts.link_with(interface.ip) for interface in own if interface is not None}
    for found in seen.facts.lookups:
        names |= {hop.link for hop in found.route.hops} if found.route is not None else set()
    return [
        link
        for link in seen.facts.links
        if link.name in names
        and link.name != "lo"
        and link.kind not in TUNNEL_KINDS
        and not link.name.startswith(LINK_PREFIX)
    ]


def effective_rp_filter(seen: Examination, link: LinkFact) -> int:
    """What the kernel goes by: the larger of the link's and of `all`."""
    return max(link.rp_filter or 0, seen.facts.sysctls.get("ipv4/conf/all/rp_filter", 0))


def _forwarding(checkup: Checkup, seen: Examination) -> Iterator[Finding]:
    versions = {pool.cidr.version for pool in checkup.world.pools}
    for version, setting in ((4, "ipv4/ip_forward"), (6, "ipv6/conf/all/forwarding")):
        value = seen.facts.sysctls.get(setting)
        dotted = "net." + setting.replace("/", ".")
        if version not in versions or value is None:
            continue
        if not value:
            yield Finding(
                Problem.FORWARDING,
                seen.node,
                f"the host does not forward IPv{version}: pods reach nothing outside their own link",
                f"{dotted} = 0",
                f"sysctl -w {dotted}=1; felix keeps it so while it runs: see `felixctl status`",
            )
            continue
        for link in uplinks(checkup, seen):
            if (link.forwarding4 if version == 4 else link.forwarding6) is False:
                per_link = f"net.ipv{version}.conf.{link.name}.forwarding"
                yield Finding(
                    Problem.FORWARDING,
                    seen.node,
                    f"what enters by {link.name} is not forwarded to pods",
                    f"{per_link} = 0",
                    f"sysctl -w {per_link}=1",
                )


def _rp_filter(checkup: Checkup, seen: Examination, node: Node) -> Iterator[Finding]:
    backend = Backend(seen.facts.backend)
    tunnelled = [
        other.name
        for other in checkup.others(seen.node)
        if ways_between(checkup.world, node, other, 4, backend) & {Way.IPIP, Way.VXLAN}
    ]
    if not tunnelled:
        return
    tunnels = [link for link in seen.facts.links if link.name in TUNNELS]
    for link in (*uplinks(checkup, seen), *tunnels):
        if effective_rp_filter(seen, link) != 1:
            continue
        every = seen.facts.sysctls.get("ipv4/conf/all/rp_filter", 0)
        yield Finding(
            Problem.RP_FILTER,
            seen.node,
            f"{link.name} accepts a packet only if the route back leaves by it; while traffic moves "
            "between tunnel and underlay, or goes there by one and back by the other, all is dropped",
            f"net.ipv4.conf.{link.name}.rp_filter = {link.rp_filter or 0}, all = {every}; tunnels with "
            f"{_some(tunnelled)}",
            f"sysctl -w net.ipv4.conf.{link.name}.rp_filter=2",
        )


def _conntrack(seen: Examination) -> Iterator[Finding]:
    largest = seen.facts.sysctls.get("netfilter/nf_conntrack_max")
    count = seen.facts.sysctls.get("netfilter/nf_conntrack_count", 0)
    if largest is None or (largest >= LEAST_CONNTRACK and count < NEARLY_FULL * largest):
        return
    better = max(4 * largest, 16 * LEAST_CONNTRACK)
    yield Finding(
        Problem.CONNTRACK,
        seen.node,
        "new connections are dropped when the table of tracked connections is full",
        f"net.netfilter.nf_conntrack_count = {count} of nf_conntrack_max = {largest}",
        f"sysctl -w net.netfilter.nf_conntrack_max={better}",
    )


def _neighbours(checkup: Checkup, seen: Examination) -> Iterator[Finding]:
    pods = mapping(seen.facts.daemons["felix"].status if "felix" in seen.facts.daemons else {})
    held = pods.get("endpoints", 0)
    endpoints = held if isinstance(held, int) else 0
    for version in (4, 6):
        largest = seen.facts.sysctls.get(f"ipv{version}/neigh/default/gc_thresh3")
        if largest is None:
            continue
        near = sum(
            1
            for other in checkup.others(seen.node)
            if (far := address_of(other, version)) is not None and _on_link(seen, far.ip)
        )
        present = seen.neighbours.get(f"ipv{version}", 0)
        need = near + endpoints
        if max(need, present) <= NEARLY_FULL * largest:
            continue
        better = max(4 * DEFAULT_NEIGHBOURS, 1 << (4 * max(need, present)).bit_length())
        name = f"net.ipv{version}.neigh.default.gc_thresh"
        yield Finding(
            Problem.NEIGHBOURS,
            seen.node,
            "the kernel forgets neighbours that are in use, and packets to them are dropped",
            f"{name}3 = {largest}; {near} nodes on this node's links and {endpoints} pods here, "
            f"{present} entries now",
            f"sysctl -w {name}3={better} {name}2={better // 2} {name}1={better // 4}",
        )


def _on_link(seen: Examination, address: object) -> bool:
    return any(address in held.interface.network for held in seen.facts.addresses)


def _own_addresses(checkup: Checkup, seen: Examination, node: Node) -> Iterator[Finding]:
    for version in (4, 6):
        own = address_of(node, version)
        if own is None:
            continue
        link = seen.facts.link_with(own.ip)
        where = f"felix.ipv{version}Address in the node's configuration"
        if not link:
            yield Finding(
                Problem.ADDRESS,
                seen.node,
                f"other nodes send to {own.ip}, which is on none of this node's links",
                f"its Node object says {own}",
                f"put the address on a link, or correct {where} and restart felix-agent",
            )
        claims = seen.claimed.get(str(own.ip), ())
        if claims:
            yield Finding(
                Problem.DUPLICATE,
                seen.node,
                f"somebody else on {link} has this node's address {own.ip}",
                f"ARP is answered by {', '.join(claims)}",
                f"find that machine by its MAC and give it another address; arping -D -I {link} {own.ip}",
            )
    yield from _shared_in_etcd(checkup, node)
    yield from _prefix_length(checkup, seen, node)


def _shared_in_etcd(checkup: Checkup, node: Node) -> Iterator[Finding]:
    for version in (4, 6):
        own = address_of(node, version)
        for other in checkup.others(node.name) if own is not None else ():
            theirs = address_of(other, version)
            if own is not None and theirs is not None and theirs.ip == own.ip:
                yield Finding(
                    Problem.DUPLICATE,
                    node.name,
                    f"two nodes have the address {own.ip} in etcd",
                    f"{node.name} is {own}, {other.name} is {theirs}",
                    "delete the one that is gone (felixctl delete node NAME), or correct "
                    f"felix.ipv{version}Address in the configuration of one and restart felix-agent",
                    other=other.name,
                )


def _prefix_length(checkup: Checkup, seen: Examination, node: Node) -> Iterator[Finding]:
    for version in (4, 6):
        own = address_of(node, version)
        if own is None or own.network.prefixlen < own.max_prefixlen:
            continue
        pools = [pool for pool in checkup.world.pools if pool.cidr.version == version]
        cross = [p for p in pools if EncapMode.CROSS_SUBNET in {p.ipip_mode, p.vxlan_mode}]
        without_bgp = seen.facts.backend != Backend.BGP.value
        serious = bool(cross) or without_bgp
        yield Finding(
            Problem.PREFIX_LENGTH,
            seen.node,
            "no other node counts as one on the same subnet"
            + (": what could go directly is tunnelled, or has no way" if serious else ""),
            f"its Node object says {own}"
            + (f"; {_some([pool.name for pool in cross])} is CrossSubnet" if cross else ""),
            f"set felix.ipv{version}Address to the address with its subnet's length "
            f"({own.ip}/24, say) in the node's configuration and restart felix-agent",
            wrong=serious,
        )


def _mtu(checkup: Checkup, seen: Examination) -> Iterator[Finding]:
    found = mtu_of(checkup.world, seen.node, seen.facts.links)
    for link in seen.facts.links:
        kind = TUNNELS.get(link.name)
        if kind is not None and link.up and link.mtu + OVERHEAD[kind] > found.host:
            yield Finding(
                Problem.MTU,
                seen.node,
                f"{link.name} takes packets that do not fit its uplink with {OVERHEAD[kind]} bytes more",
                f"{link.name} has MTU {link.mtu}, the uplink {found.host}",
                f"ip link set dev {link.name} mtu {found.host - OVERHEAD[kind]}; if FelixConfiguration "
                "sets this tunnel's MTU, correct it there",
            )
    felix: Mapping[str, object] = (
        seen.facts.daemons["felix"].status if "felix" in seen.facts.daemons else {}
    )
    large = [
        pod
        for pod in mappings(mapping(felix.get("mtu")).get("pods"))
        if isinstance(pod.get("mtu"), int) and pod["mtu"] > found.pod
    ]
    if large:
        yield Finding(
            Problem.MTU,
            seen.node,
            "pods send packets that do not fit their way",
            f"{_some([str(pod.get('pod')) for pod in large])}: MTU {large[0]['mtu']}, "
            f"{found.pod} is right",
            "felixctl mtu fix",
        )


def _ecmp(checkup: Checkup, seen: Examination) -> Iterator[Finding]:
    for version in (4, 6):
        setting = f"net.ipv{version}.fib_multipath_hash_policy"
        if seen.facts.sysctls.get(f"ipv{version}/fib_multipath_hash_policy") != 0:
            continue
        spread = {
            other.name: hops
            for other in checkup.others(seen.node)
            if (far := address_of(other, version)) is not None
            and len(hops := seen.hops_to(far.ip)) > 1
        }
        if spread:
            hops = next(iter(spread.values()))
            yield Finding(
                Problem.ECMP,
                seen.node,
                f"all connections between two pods share one of {len(hops)} ways",
                f"{setting} = 0; ways to {_some(list(spread))}: "
                + ", ".join(f"{hop.gateway or 'on-link'} dev {hop.link}" for hop in hops),
                f"sysctl -w {setting}=1",
                wrong=False,
            )


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"
