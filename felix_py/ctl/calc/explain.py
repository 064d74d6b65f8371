"""The whole way of a packet from a pod to a pod, a node or the world, and back: steps in order. Pure.

The first step at which packets are lost is the fault; where none are, the first that is not as etcd asks.
"""

from __future__ import annotations

from collections.abc import Iterator

from felix_py.ctl.calc import (
    path_between,
    path_ends,
    path_filter,
    path_mtu,
    path_outside,
    path_pod,
    path_route,
    path_tunnel,
)
from felix_py.ctl.calc.path import TUNNELS, Explanation, Step, Taken, route_text
from felix_py.ctl.calc.world import End, Side, World
from felix_py.datastore.model import NodeName

OUTSIDE = Side(NodeName("outside"))


def explain(world: World, source: End, end: End) -> Explanation:
    """Judge it. The source is a pod's address; its node is known."""
    assert source.node is not None
    near = world.side(source.node)
    steps = [path_ends.whose(world, source)]
    if source.endpoint is not None:
        steps += _pod(near, source, end)
    if end.node is None and end.pool is not None:
        steps.append(path_ends.whose(world, end))
        return Explanation(source.title, end.title, "nobody", tuple(steps))
    if end.node is None:
        steps += _outside(world, near, source, end)
        return Explanation(source.title, end.title, "outside", tuple(steps))
    far = world.side(end.node)
    steps.append(path_ends.whose(world, end))
    if end.endpoint is None and not end.of_node:
        return Explanation(source.title, end.title, "nobody", tuple(steps))
    there, kind = _leg(world, near, source, far, end)
    steps += there
    if end.endpoint is not None:
        steps += reversed(_pod(far, end, source))
    steps += _leg(world, far, end, near, source)[0]
    return Explanation(source.title, end.title, kind, tuple(steps))


def asked_links(end: End) -> tuple[str, ...]:
    """The link that stands for an end on its node."""
    return () if end.endpoint is None else (end.endpoint.interface_name,)


def _pod(side: Side, pod: End, other: End) -> list[Step]:
    """From inside the pod to its link on the node."""
    inside = path_pod.inside(side, pod, other)
    return [*([inside] if inside is not None else []), path_ends.veth(side, pod)]


def _leg(world: World, near: Side, source: End, far: Side, end: End) -> tuple[list[Step], str]:
    """One direction: from the pod's link (or the node itself) to the other end's link."""
    entered_by = "" if source.endpoint is None else source.endpoint.interface_name
    if near.name == far.name:
        return _same_node(near, source, end, entered_by), "same node"
    taken = path_route.leave(world, near, source, end, entered_by)
    steps = [taken.step]
    between = (
        path_between.told(near, far, end, taken),
        path_between.node_addresses(world, near, far, end),
        path_tunnel.tunnel(near, far, end, taken),
    )
    steps += [step for step in between if step is not None]
    steps += path_between.next_hops(near, far, end, taken)
    filtered = path_filter.filters(near, far, end, taken)
    steps += [] if filtered is None else [filtered]
    arrives_by = path_between.arrival_link(far, end, taken.route)
    steps.append(path_between.arrival(far, arrives_by))
    steps.append(_landing(far, source, end, arrives_by))
    if source.endpoint is not None:
        steps.append(path_mtu.sizes(near, far, source, end, taken))
    return steps, _kind(taken, end)


def _landing(far: Side, source: End, end: End, arrives_by: str) -> Step:
    if end.endpoint is not None:
        return path_route.arrive(far, source, end, arrives_by).step
    return path_route.at_node(far, source, end, arrives_by)


def _same_node(near: Side, source: End, end: End, entered_by: str) -> list[Step]:
    steps = [_landing(near, source, end, entered_by)]
    if source.endpoint is not None and end.endpoint is not None:
        steps.append(path_mtu.sizes(near, near, source, end, Taken(steps[0])))
    return steps


def _outside(world: World, near: Side, source: End, end: End) -> Iterator[Step]:
    entered_by = "" if source.endpoint is None else source.endpoint.interface_name
    taken = path_outside.leave(near, source, end, entered_by)
    yield taken.step
    yield path_outside.translation(near, source)
    yield from path_between.next_hops(near, OUTSIDE, end, taken)
    if source.endpoint is not None:
        yield path_mtu.sizes(near, OUTSIDE, source, end, taken)
    yield path_outside.way_back(world, near, source)
    yield _landing(near, end, source, "" if taken.hop is None else taken.hop.link)


def _kind(taken: Taken, end: End) -> str:
    hop = taken.hop
    if hop is None:
        return "other node"
    way = TUNNELS.get(hop.link)
    if way is not None:
        return f"other node, {way.value} tunnel"
    gateway = f"next hop {hop.gateway}" if hop.gateway is not None else "on the link"
    what = "node" if end.of_node else "other node"
    return (
        f"{what}, {gateway}"
        if taken.route is None
        else f"{what}, {gateway} ({route_text(taken.route)})"
    )
