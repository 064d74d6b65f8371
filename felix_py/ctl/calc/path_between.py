"""What lies between two nodes: who told of the way, the nodes' addresses, the next hop's neighbour."""

from __future__ import annotations

from collections.abc import Iterator

from felix_py.ctl.calc import path_missing
from felix_py.ctl.calc.facts import HopFact, LinkFact, NodeFacts, RouteFact, ToldFact
from felix_py.ctl.calc.path import TUNNELS, Fault, Finding, Step, Taken, first, route_text
from felix_py.ctl.calc.path_ends import judged, unseen
from felix_py.ctl.calc.world import End, Side, World, addresses_of
from felix_py.datastore.calc.reachability import address_of
from felix_py.datastore.model import EncapMode, IPAddress, IPInterface
from felix_py.kernel.ownership import BGP

MAX_HOPS = 16
"""Next hops of one route that are looked at: as many as the BGP agent writes."""


def told(near: Side, far: Side, end: End, taken: Taken) -> Step | None:
    """Which BGP peers told of the way; only for routes that are BGP's."""
    route = taken.route
    if route is None or route.protocol != BGP.route_protocol:
        return None
    paths = near.told(end.address)
    what = f"told of {route.prefix}"
    if paths is None:
        note = "which peer told is not known: the bgp agent did not answer"
        return Step(near.name, what, "", "", _down_peer(near, ()), note)
    used = [path for path in paths if path.used]
    states = {session.get("peer"): session.get("state") for session in near.sessions()}
    names = ", ".join(
        f"{path.peer} ({path.source}), session {states.get(str(path.peer), '?')}" for path in used
    )
    finding = _gateway_knows(near, far, paths, taken) or _down_peer(near, used)
    hops = ", ".join(sorted({str(path.next_hop) for path in used}))
    kernel = f"next hop {hops}" if used else "no peer tells it any more"
    return Step(near.name, what, kernel, names, finding)


def _down_peer(near: Side, used: list[ToldFact] | tuple[ToldFact, ...]) -> Finding | None:
    """A path that is only kept, because its peer is away: it goes when the restart time is over."""
    stale = {str(path.peer) for path in used if path.stale}
    for session in near.sessions():
        if session.get("peer") in stale and session.get("state") != "up":
            return path_missing.session_down(near, session, breaks=False)
    return None


def _gateway_knows(
    near: Side, far: Side, paths: tuple[ToldFact, ...], taken: Taken
) -> Finding | None:
    """The gateway is a router that tells us of pods, and of this one it does not know."""
    if taken.route is None or near.facts is None:
        return None
    know = {path.next_hop for path in paths if path.used} | {path.peer for path in paths}
    tellers = set(near.facts.tellers) - know
    gateway = next((hop.gateway for hop in taken.route.hops if hop.gateway in tellers), None)
    if gateway is None:
        return None
    for side in (near, far):
        down = next((s for s in side.sessions() if s.get("state") != "up"), None)
        if down is not None:
            return path_missing.session_down(side, down)
    session = next((s for s in near.sessions() if s.get("peer") == str(gateway)), {})
    return Finding(
        Fault.FILTERED,
        f"packets go through {gateway} ({session.get('source', 'a BGP peer')}), which tells "
        f"{near.name} of other pods and not of this one: it does not know the way",
        f"look at the filters of {gateway} and of the routers behind it",
    )


def node_addresses(world: World, near: Side, far: Side, end: End) -> Step:
    """The two nodes' addresses and prefixes, in etcd and as the kernels have them."""
    version = end.address.version
    here = None if near.node is None else address_of(near.node, version)
    there = None if far.node is None else address_of(far.node, version)
    step = Step(
        near.name,
        f"underlay to {far.name}",
        f"{here or 'no address'} to {there or 'no address'}",
        f"Node({near.name}), Node({far.name})",
    )
    if here is None or there is None:
        lacking = near.name if here is None else far.name
        known = lacking in world.nodes
        text = f"Node({lacking}) has no IPv{version} address" if known else f"no Node({lacking})"
        missing = Finding(Fault.NO_NODE, text, f"is felix running on {lacking}?")
        return Step(step.where, step.what, step.kernel, step.owner, missing)
    twins = (_twin(world, near, here.ip), _twin(world, far, there.ip))
    finding = first((*twins, *_prefixes(near, far, end), _no_underlay(near, there.ip)))
    return Step(step.where, step.what, step.kernel, step.owner, finding)


def _twin(world: World, side: Side, address: IPAddress) -> Finding | None:
    """Another Node object with the same address."""
    twins = (name for name, node in world.nodes.items() if address in addresses_of(node))
    other = next((name for name in sorted(twins) if name != side.name), None)
    if other is None:
        return None
    return Finding(
        Fault.ADDRESS_TWICE,
        f"Node({side.name}) and Node({other}) both have the address {address}",
        "correct or delete the one that is wrong; felix.ipv4Address settles it on a node",
    )


def _prefixes(near: Side, far: Side, end: End) -> Iterator[Finding | None]:
    """What a prefix in etcd says of the other node, against what that node's kernel does."""
    version = end.address.version
    assert near.node is not None
    assert far.node is not None
    here, there = address_of(near.node, version), address_of(far.node, version)
    assert here is not None
    assert there is not None
    matters = end.pool is not None and EncapMode.CROSS_SUBNET in {
        end.pool.ipip_mode,
        end.pool.vxlan_mode,
    }
    for side, mine, other in ((near, here, there), (far, there, here)):
        seen = None if side.facts is None else side.facts.lookup(other.ip)
        hop = seen.route.hops[0] if seen and seen.route and seen.route.hops else None
        if hop is None or seen is None or seen.route is None:
            continue
        says, does = other.ip in mine.network, hop.gateway is None
        if says != does:
            yield Finding(
                Fault.PREFIX_LENGTH,
                f"Node({side.name}) says {mine}, so {other.ip} is "
                f"{'inside' if says else 'outside'} its subnet, and its kernel goes there by "
                f"{route_text(seen.route)}",
                f"correct spec.bgp.ipv{version}Address of Node({side.name}), or the link's address",
                breaks=matters,
            )
    if (there.ip in here.network) != (here.ip in there.network):
        yield Finding(
            Fault.PREFIX_LENGTH,
            f"Node({near.name}) is {here} and Node({far.name}) is {there}: one prefix contains the "
            "other's address, and not the other way round",
            "correct the node whose prefix is wrong",
            breaks=matters,
        )


def _no_underlay(near: Side, there: IPAddress) -> Finding | None:
    seen = None if near.facts is None else near.facts.lookup(there)
    if seen is None or not seen.error:
        return None
    return Finding(
        Fault.NO_ROUTE,
        f"{near.name} has no way to {there}, the other node's address",
        "give the node a route to it: a default route, or the subnet's gateway",
    )


def next_hops(near: Side, far: Side, end: End, taken: Taken) -> Iterator[Step]:
    """Each next hop's link and neighbour, on the way out of the node (below a tunnel, if there is one)."""
    if near.facts is None or taken.route is None:
        return
    there = None if far.node is None else address_of(far.node, end.address.version)
    hops, target = taken.route.hops, end.address
    if taken.hop is not None and taken.hop.link in TUNNELS and there is not None:
        outer = near.facts.lookup(there.ip)
        hops = () if outer is None or outer.route is None else outer.route.hops
        target = there.ip
    for hop in hops[:MAX_HOPS]:
        yield _next_hop(near, far, there, HopFact(hop.link, hop.gateway or target), near.facts)


def _next_hop(
    near: Side, far: Side, there: IPInterface | None, hop: HopFact, facts: NodeFacts
) -> Step:
    target = hop.gateway
    assert target is not None
    link = facts.link(hop.link)
    known = next((n for n in facts.neighbours if (n.link, n.address) == (hop.link, target)), None)
    owner = f"Node({far.name})" if there is not None and target == there.ip else ""
    mac = _mac(far, target) if owner else ""
    finding = None if known is None else judged(near, known, mac, far.name)
    state = "not resolved yet" if known is None else f"at {known.mac or '?'} ({known.state})"
    text = f"{target} {state} dev {hop.link}"
    return Step(near.name, "next hop", text, owner, first((_link_down(near, link), finding)))


def _mac(far: Side, address: IPAddress) -> str:
    """The MAC that the far node really has the address at; empty when it was not seen."""
    if far.facts is None:
        return ""
    link = far.facts.link(far.facts.link_with(address))
    return "" if link is None else link.mac


def _link_down(near: Side, link: LinkFact | None) -> Finding | None:
    if link is None or (link.up and link.running):
        return None
    return Finding(
        Fault.LINK_DOWN,
        f"{link.name} on {near.name} is down",
        f"ip link set {link.name} up; is its cable plugged?",
    )


def arrival_link(far: Side, end: End, route: RouteFact | None) -> str:
    """By which link the packet enters the far node; empty when its kernel was not seen."""
    if far.facts is None or far.node is None:
        return ""
    hop = route.hops[0] if route is not None and route.hops else None
    if hop is not None and hop.link in TUNNELS:
        return hop.link
    own = address_of(far.node, end.address.version)
    return "" if own is None else far.facts.link_with(own.ip)


def arrival(far: Side, entered_by: str) -> Step:
    """The link by which the packet enters the far node."""
    step = Step(
        far.name, "arrival", f"link {entered_by}" if entered_by else "", f"Node({far.name})"
    )
    if far.facts is None:
        return unseen(far, step)
    link = far.facts.link(entered_by)
    if link is None:
        missing = Finding(
            Fault.LINK_MISSING,
            f"no link of {far.name} has the address that Node({far.name}) names",
            "felix there finds the node's address at start: felixctl status",
        )
        return Step(step.where, step.what, step.kernel, step.owner, missing)
    text = f"link {link.name} mtu {link.mtu} rp_filter {link.rp_filter}"
    return Step(step.where, step.what, text, step.owner, _link_down(far, link))
