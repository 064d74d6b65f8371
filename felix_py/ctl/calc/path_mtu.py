"""Whether packets as large as the pod may send fit through every link on the way."""

from __future__ import annotations

from felix_py.ctl.calc.path import TUNNELS, Fault, Finding, Step, Taken
from felix_py.ctl.calc.world import End, Side
from felix_py.datastore.calc.reachability import Way, address_of

OVERHEAD = {Way.IPIP: 20, Way.VXLAN: 50}
"""Bytes that a tunnel over IPv4 adds; VXLAN over IPv6 adds 20 more."""
IPV6_MORE = 20


def sizes(near: Side, far: Side, source: End, end: End, out: Taken) -> Step:
    """The pod's MTU against each link's; the first that is too small is named."""
    step = Step(near.name, f"packet size to {end.title}")
    assert source.endpoint is not None
    link = None if near.facts is None else near.facts.link(source.endpoint.interface_name)
    if link is None or not link.mtu:
        return Step(step.where, step.what, note="the pod's MTU was not seen")
    limits = _limits(near, far, end, out)
    text = ", ".join([f"pod {link.mtu}", *(f"{what} {carries}" for what, carries in limits)])
    small = next(((what, carries) for what, carries in limits if carries < link.mtu), None)
    finding = None
    if small is not None:
        finding = Finding(
            Fault.MTU,
            f"the pod's link {link.name} on {near.name} takes packets of {link.mtu}, and {small[0]} "
            f"carries {small[1]}",
            "give all links of the underlay one MTU; felixctl status names pods whose MTU differs from "
            "what their node found",
            breaks=False,
        )
    return Step(step.where, step.what, text, "", finding)


def _limits(near: Side, far: Side, end: End, out: Taken) -> list[tuple[str, int]]:
    """(link, what it carries of the pod's packet), in the order of the way."""
    names = _near_links(near, far, end, out)
    way = None if out.hop is None else TUNNELS.get(out.hop.link)
    more = OVERHEAD[way] + (IPV6_MORE if end.address.version == 6 else 0) if way is not None else 0
    there = None if far.node is None else address_of(far.node, end.address.version)
    if far.facts is not None and far.name != near.name and there is not None:
        names.append((far, far.facts.link_with(there.ip), True))
    if end.endpoint is not None:
        names.append((far, end.endpoint.interface_name, False))
    found = []
    for side, name, below in names:
        link = None if side.facts is None else side.facts.link(name)
        less = more if below else 0
        if link is not None and link.mtu > less:
            text = f"{name} of {side.name}" + (f" less {less}" if less else "")
            found.append((text, link.mtu - less))
    return found


def _near_links(near: Side, far: Side, end: End, out: Taken) -> list[tuple[Side, str, bool]]:
    """(node, link, whether it is below a tunnel) on the way out."""
    hop = out.hop
    if hop is None or near.facts is None:
        return []
    if hop.link not in TUNNELS:
        return [(near, hop.link, True)]
    there = None if far.node is None else address_of(far.node, end.address.version)
    outer = None if there is None else near.facts.lookup(there.ip)
    hops = outer.route.hops if outer is not None and outer.route is not None else ()
    return [(near, hop.link, False), *((near, below.link, True) for below in hops[:1])]
