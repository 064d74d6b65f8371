"""The pod's own side: its link inside its namespace, its address, its route, the gateway's neighbour."""

from __future__ import annotations

from collections.abc import Iterator

from felix_py.ctl.calc.facts import LinkFact, PodFact
from felix_py.ctl.calc.path import Fault, Finding, Step, first, route_text
from felix_py.ctl.calc.path_ends import judged
from felix_py.ctl.calc.world import End, Side

NEVER_OURS = "the pod itself, or what configured it, changed this: recreate the pod"


def inside(side: Side, pod: End, other: End) -> Step | None:
    """The pod's end as its namespace has it; None when it was not looked at."""
    if side.facts is None or pod.endpoint is None:
        return None
    seen = side.facts.pod(pod.endpoint.interface_name)
    link = side.facts.link(pod.endpoint.interface_name)
    if seen is None or link is None:
        return None
    found = next((each for each in seen.lookups if each.destination == other.address), None)
    route = None if found is None else found.route
    text = f"link {seen.name} mtu {seen.mtu}" + (f", {route_text(route)}" if route else "")
    owner = f"WorkloadEndpoint({pod.endpoint.meta.namespace}/{pod.endpoint.meta.name})"
    return Step(
        side.name, f"inside {pod.title}", text, owner, first(_wrong(side, seen, link, pod, other))
    )


def _wrong(
    side: Side, seen: PodFact, link: LinkFact, pod: End, other: End
) -> Iterator[Finding | None]:
    if not seen.up:
        yield Finding(Fault.LINK_DOWN, f"{seen.name} inside {pod.title} is down", NEVER_OURS)
    if pod.address not in seen.addresses:
        has = ", ".join(map(str, seen.addresses)) or "none"
        text = f"{seen.name} inside the pod has not {pod.address}, but {has}"
        yield Finding(Fault.POD_WITHOUT_ADDRESS, text, NEVER_OURS)
    found = next((each for each in seen.lookups if each.destination == other.address), None)
    if found is not None and found.route is None:
        text = f"the pod {pod.title} has no route to {other.address}"
        yield Finding(Fault.NO_ROUTE, text, NEVER_OURS)
    yield from _gateway(side, seen, link, pod, other)
    if seen.mtu != link.mtu:
        yield Finding(
            Fault.MTU,
            f"the two ends of the link of {pod.title} differ: {seen.name} inside has {seen.mtu}, "
            f"{link.name} on {side.name} has {link.mtu}",
            "felixctl mtu fix",
            breaks=False,
        )


def _gateway(
    side: Side, seen: PodFact, link: LinkFact, pod: End, other: End
) -> Iterator[Finding | None]:
    """The pod sends to its gateway's MAC, which must be that of the host's end."""
    found = next((each for each in seen.lookups if each.destination == other.address), None)
    hops = () if found is None or found.route is None else found.route.hops
    for hop in hops:
        if hop.link != seen.name or hop.gateway is None:
            continue
        known = next((each for each in seen.neighbours if each.address == hop.gateway), None)
        wrong = (
            None if known is None else judged(side, known, link.mac, f"{link.name} on {side.name}")
        )
        if wrong is not None:
            text = f"inside {pod.title}: {wrong.text}"
            yield Finding(wrong.fault, text, NEVER_OURS)
