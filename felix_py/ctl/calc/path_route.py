"""The route that a node's kernel takes for a packet, against the one that etcd asks for."""

from __future__ import annotations

import errno
from dataclasses import replace

from felix_py.ctl.calc import path_missing, path_tunnel
from felix_py.ctl.calc.facts import LookupFact, NodeFacts, RouteFact
from felix_py.ctl.calc.path import TUNNELS, Fault, Finding, Step, Taken, first, route_text
from felix_py.ctl.calc.path_ends import unseen
from felix_py.ctl.calc.world import End, Side, World
from felix_py.datastore.calc.reachability import Reach, Way, Writer
from felix_py.kernel.ownership import BGP, FELIX, LINK_PREFIX

SWALLOWED = frozenset({errno.EINVAL, errno.EXDEV})
"""A blackhole, the reverse path filter, or an address that cannot be: what is plain tells them apart."""
NOWHERE = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EACCES})
ROUTERS_KNOW = "no peer tells pods' prefixes here, so whether the gateway knows the way is not seen"
OWNERS = {FELIX.route_protocol: "felix", BGP.route_protocol: "the bgp agent"}


def leave(world: World, near: Side, source: End, end: End, entered_by: str) -> Taken:
    """The route at the node that the packet starts from, to an end on another node."""
    wanted = world.reach(near, end)
    step = Step(near.name, f"route to {end.title}", "", _owner(end, wanted))
    if near.facts is None:
        return Taken(unseen(near, step))
    found = near.facts.lookup(end.address, source.address, entered_by)
    plain = near.facts.lookup(end.address)
    lost = dropped(near, source, end, entered_by, found, plain)
    if lost is not None:
        return Taken(_with(step, lost, near.facts, end))
    taken = found or plain
    route = None if taken is None else taken.route
    if wanted is None:
        return Taken(_known(step, route, None), route)
    if route is None or (_wide(end, route) and _should_know(near)):
        return _nothing(world, near, end, wanted, route, step)
    if _wide(end, route):
        known = _known(step, route, path_tunnel.not_standing(world, near, end, wanted))
        return Taken(replace(known, note=ROUTERS_KNOW), route)
    finding = first(
        (
            _other_way(wanted, route),
            _foreign(near, route),
            path_tunnel.not_standing(world, near, end, wanted),
        )
    )
    return Taken(_known(step, route, finding), route)


def arrive(near: Side, source: End, end: End, entered_by: str) -> Taken:
    """The route at the node where the pod is, for a packet that came in by a link."""
    assert end.endpoint is not None
    link = end.endpoint.interface_name
    owner = f"WorkloadEndpoint({end.endpoint.meta.namespace}/{end.endpoint.meta.name})"
    step = Step(near.name, f"route to {end.title}", "", owner)
    if near.facts is None:
        return Taken(unseen(near, step))
    found = near.facts.lookup(end.address, source.address, entered_by)
    plain = near.facts.lookup(end.address)
    lost = dropped(near, source, end, entered_by, found, plain)
    if lost is not None:
        return Taken(_with(step, lost, near.facts, end))
    taken = found or plain
    route = None if taken is None else taken.route
    on = {hop.link for hop in route.hops} if route is not None else set()
    finding = None
    if link not in on:
        instead = f", but {route_text(route)}" if route is not None else ""
        finding = Finding(
            Fault.NO_ROUTE,
            f"{near.name} has no route to {end.address} on its pod's link {link}{instead}",
            f"is felix running on {near.name}? felixctl status there",
        )
    return Taken(_known(step, route, finding), route)


def at_node(far: Side, source: End, end: End, entered_by: str) -> Step:
    """The node's own address: it must be local there."""
    step = Step(far.name, f"route to {end.title}", "", f"Node({far.name})")
    if far.facts is None:
        return unseen(far, step)
    plain = far.facts.lookup(end.address)
    found = far.facts.lookup(end.address, source.address, entered_by)
    lost = dropped(far, source, end, entered_by, found, plain)
    route = None if plain is None else plain.route
    if lost is None and (route is None or route.kind != "local"):
        lost = Finding(
            Fault.WRONG_WAY,
            f"{end.address} is no address of {far.name}, and Node({far.name}) says it is",
            "felixctl status there; correct the Node",
        )
    return _known(step, route, lost)


def dropped(
    near: Side,
    source: End,
    end: End,
    entered_by: str,
    found: LookupFact | None,
    plain: LookupFact | None,
) -> Finding | None:
    """A packet that the kernel throws away: a blackhole, or the reverse path filter."""
    assert near.facts is not None
    if plain is not None and plain.error in SWALLOWED:
        return _blackhole(near, end)
    if found is None or found.error not in SWALLOWED:
        return None
    link = near.facts.link(entered_by)
    strict = max(
        near.facts.sysctls.get("ipv4/conf/all/rp_filter", 0),
        (link.rp_filter or 0) if link is not None else 0,
    )
    back = near.facts.lookup(source.address)
    way = f" ({route_text(back.route)})" if back is not None and back.route is not None else ""
    return Finding(
        Fault.REVERSE_PATH,
        f"{near.name} drops packets from {source.address} that enter by {entered_by}: rp_filter is "
        f"{strict} and its route back is another{way}",
        f"sysctl -w net.ipv4.conf.{entered_by}.rp_filter=2 (and conf.all at most 2), or correct the "
        "route back",
    )


def _blackhole(near: Side, end: End) -> Finding:
    assert near.facts is not None
    holes = [r for r in near.facts.routes if end.address in r.prefix and r.kind != "unicast"]
    prefix = str(holes[0].prefix) if holes else "a prefix"
    protocol = holes[0].protocol if holes else 0
    host = None if end.block is None else end.block.host
    if protocol == FELIX.route_protocol and host == near.name:
        return Finding(
            Fault.NO_ROUTE,
            f"{near.name} holds the block {prefix} and has no route to {end.address} in it",
            f"is felix running on {near.name}? felixctl status there",
        )
    owner = f"etcd gives the block to {host}" if host else "etcd knows no such block"
    mark = "felix's" if protocol == FELIX.route_protocol else f"protocol {protocol}'s"
    return Finding(
        Fault.BLACKHOLE,
        f"{near.name} still has {mark} blackhole {prefix}, and {owner}",
        f"is felix running on {near.name} and in sync? Until then: ip route del blackhole {prefix}",
    )


def _wide(end: End, route: RouteFact) -> bool:
    """A route that is neither ours nor inside the pool: the default route, an aggregate."""
    if route.protocol in OWNERS or end.pool is None or route.kind == "local":
        return False
    return route.prefix.prefixlen <= end.pool.cidr.prefixlen


def _should_know(near: Side) -> bool:
    """Somebody tells this node of pods' prefixes, or nobody could. Where all sessions are up and none
    does, nodes only announce, and it is routers alone that know the pods."""
    assert near.facts is not None
    return bool(near.facts.tellers) or not any(s.get("state") == "up" for s in near.sessions())


def _nothing(
    world: World, near: Side, end: End, wanted: Reach, route: RouteFact | None, step: Step
) -> Taken:
    """No route but perhaps the default route, where there should be one."""
    finding = path_tunnel.not_standing(world, near, end, wanted, breaks=True)
    finding = finding or path_missing.why(world, near, end, wanted)
    known = "no route" if route is None else f"only {route_text(route)}"
    return Taken(Step(step.where, step.what, known, step.owner, finding))


def _other_way(wanted: Reach, route: RouteFact) -> Finding | None:
    """A tunnel where none should be, the other way round, or a tunnel to another node."""
    hop = route.hops[0] if route.hops else None
    taken = TUNNELS.get(hop.link, Way.DIRECT) if hop is not None else Way.NONE
    if hop is not None and hop.link.startswith(LINK_PREFIX):
        return Finding(
            Fault.WRONG_WAY,
            f"the packet goes to a local pod ({route_text(route)}), and etcd has the address on "
            "another node",
            "is felix in sync here? felixctl status; felixctl ipam check",
        )
    if taken is not wanted.way:
        return Finding(
            Fault.WRONG_WAY,
            f"the packet goes {taken.value} ({route_text(route)}), and etcd asks for "
            f"{wanted.way.value}",
            "is felix (and bgp) in sync here? felixctl status",
            breaks=False,
        )
    gateways = {each.gateway for each in route.hops}
    if wanted.way is not Way.DIRECT and wanted.gateway not in gateways:
        return Finding(
            Fault.WRONG_WAY,
            f"the tunnel ends at {hop.gateway if hop else '-'}, and the node is at {wanted.gateway}",
            "is felix in sync here? felixctl status",
        )
    return None


def _foreign(near: Side, route: RouteFact) -> Finding | None:
    if route.protocol in OWNERS or route.kind == "local":
        return None
    return Finding(
        Fault.FOREIGN_ROUTE,
        f"{near.name} takes {route_text(route)}, which is neither felix's nor the bgp agent's",
        "remove it, or give it a metric above 1025",
        breaks=False,
    )


def _owner(end: End, wanted: Reach | None) -> str:
    names = []
    if end.block is not None:
        names.append(f"block {end.block.cidr} of {end.block.affinity or 'nobody'}")
    if end.node is not None:
        names.append(f"Node({end.node})")
    if wanted is not None:
        by = "felix" if wanted.writer is Writer.FELIX else "BGP"
        names.append(f"{wanted.way.value} by {by}")
    return ", ".join(names)


def _known(step: Step, route: RouteFact | None, finding: Finding | None) -> Step:
    text = "no route" if route is None else route_text(route)
    return Step(step.where, step.what, text, step.owner, finding)


def _with(step: Step, finding: Finding, facts: NodeFacts, end: End) -> Step:
    covering = next((r for r in facts.routes if end.address in r.prefix), None)
    text = "dropped" if covering is None else f"dropped; {route_text(covering)}"
    return Step(step.where, step.what, text, step.owner, finding)
