"""A tunnel on the way: the device, and for VXLAN the neighbour and forwarding entry of the far end."""

from __future__ import annotations

from collections.abc import Iterator

from felix_py.ctl.calc.facts import LinkFact, NodeFacts
from felix_py.ctl.calc.path import TUNNELS, Fault, Finding, Step, Taken, first
from felix_py.ctl.calc.path_ends import judged
from felix_py.ctl.calc.world import End, Side, World
from felix_py.ctl.findings import mappings
from felix_py.datastore.calc.reachability import (
    Reach,
    Way,
    address_of,
    encapsulates,
    tunnel_address,
)
from felix_py.datastore.model import EncapMode, IPAddress, Node
from felix_py.kernel.ownership import IPIP_LINK, VXLAN_LINKS
from felix_py.kernel.tunnel_model import FaultReason

NO_KERNEL_SUPPORT = FaultReason.NO_KERNEL_SUPPORT.value


def tunnel(near: Side, far: Side, end: End, taken: Taken) -> Step | None:
    """The tunnel that a route leads into; None for a route that leads into none."""
    hop, facts = taken.hop, near.facts
    way = None if hop is None else TUNNELS.get(hop.link)
    if way is None or hop is None or facts is None or near.node is None or far.node is None:
        return None
    link = facts.link(hop.link)
    there = address_of(far.node, end.address.version)
    if link is None or there is None:
        return None
    owner = f"Node({near.name}), Node({far.name})"
    wrong = list(_device(near, link, far, way, end.address.version))
    text = f"{hop.link} mtu {link.mtu} to {there.ip}"
    if way is Way.VXLAN and hop.gateway is not None:
        mac = _mac(far.node, end.address.version)
        wrong += _far_end(near, facts, link, hop.gateway, there.ip, mac)
        text += f" vni {link.vni} port {link.port}, VTEP {hop.gateway} at {mac or '?'}"
    return Step(near.name, "tunnel", text, owner, first(wrong))


def not_standing(
    world: World, near: Side, end: End, wanted: Reach, *, breaks: bool = False
) -> Finding | None:
    """The pool asks for a tunnel that does not stand at one of the two nodes, and why it does not."""
    far = None if end.node is None else world.side(end.node)
    if end.pool is None or not encapsulates(end.pool):
        return None
    for side in (near, far):
        if side is None or side.node is None:
            continue
        way = Way.VXLAN if end.pool.vxlan_mode is not EncapMode.NEVER else Way.IPIP
        if wanted.way in {Way.IPIP, Way.VXLAN}:
            device = VXLAN_LINKS[end.address.version] if way is Way.VXLAN else IPIP_LINK
            lost = side.facts is not None and side.facts.link(device) is None
            what = f"{side.name} has no device {device}" if lost else ""
        elif wanted.reason and tunnel_address(side.node, way, end.address.version) is None:
            what = wanted.reason
        else:
            what = ""
        if what:
            return _why(side, way, what, end.pool.name, breaks=breaks or wanted.way is way)
    return None


def _why(side: Side, way: Way, what: str, pool: str, *, breaks: bool) -> Finding:
    """As felix on that node reports of the device."""
    devices = mappings(side.manager("tunnels").get("devices"))
    told = next((d for d in devices if d.get("encapsulation") == way.value), {})
    wish = f"IPPool({pool}) asks for {way.value}, and {what}"
    if told.get("reason") == NO_KERNEL_SUPPORT:
        return Finding(
            Fault.MODULE_MISSING,
            f"{wish}: {told.get('message')}",
            str(told.get("remedy")),
            breaks=breaks,
        )
    reason = told.get("message") or told.get("lacking")
    remedy = told.get("remedy") or f"felixctl status on {side.name}; is felix running there?"
    text = f"{wish}: {reason}" if reason else wish
    return Finding(Fault.TUNNEL_MISSING, text, str(remedy), breaks=breaks)


def _device(
    near: Side, link: LinkFact, far: Side, way: Way, version: int
) -> Iterator[Finding | None]:
    if not link.up:
        yield Finding(
            Fault.LINK_DOWN,
            f"{link.name} on {near.name} is down",
            f"ip link set {link.name} up; is felix running there?",
        )
    if way is not Way.VXLAN:
        return
    own = None if near.node is None else address_of(near.node, version)
    if own is not None and link.local not in {None, own.ip}:
        yield _wrong(near, link, f"sends from {link.local}, and Node({near.name}) is {own.ip}")
    other = None if far.facts is None else far.facts.link(link.name)
    if other is not None and (other.vni, other.port) != (link.vni, link.port):
        yield _wrong(
            near,
            link,
            f"has VNI {link.vni} and port {link.port}, that of {far.name} {other.vni} and {other.port}",
        )


def _wrong(near: Side, link: LinkFact, what: str) -> Finding:
    return Finding(
        Fault.TUNNEL_WRONG,
        f"{link.name} on {near.name} {what}",
        "FelixConfiguration vxlanVNI and vxlanPort must be alike; is felix running on both nodes?",
    )


def _far_end(
    near: Side, facts: NodeFacts, link: LinkFact, vtep: IPAddress, there: IPAddress, mac: str
) -> Iterator[Finding | None]:
    """The neighbour that names the far VTEP's MAC, and the forwarding entry that names its host."""
    known = next((n for n in facts.neighbours if (n.link, n.address) == (link.name, vtep)), None)
    if known is None or not known.mac:
        yield Finding(
            Fault.NEIGHBOUR,
            f"{near.name} has no neighbour entry of the VTEP {vtep} on {link.name}",
            f"is felix running on {near.name}? It writes the entry again",
        )
        return
    yield judged(near, known, mac, f"the VTEP {vtep}")
    entries = [entry for entry in facts.forwarding if entry.link == link.name]
    mine = [entry for entry in entries if entry.mac == known.mac]
    if there not in {entry.far_end for entry in mine}:
        instead = f", but one to {mine[0].far_end}" if mine else ""
        yield Finding(
            Fault.FDB,
            f"{near.name} has no forwarding entry (FDB) on {link.name} for {known.mac} to {there}"
            f"{instead}",
            f"is felix running on {near.name}? It writes the entry again",
        )


def _mac(node: Node, version: int) -> str:
    return (node.vxlan_tunnel_mac if version == 4 else node.vxlan_tunnel_mac_v6).lower()
