"""A tunnel on the way: the device, and for VXLAN the neighbour and forwarding entry of the far end."""

from __future__ import annotations

from collections.abc import Iterator

from felix_py.ctl.calc.facts import LinkFact, NodeFacts
from felix_py.ctl.calc.path import Fault, Finding, Step, first
from felix_py.ctl.calc.path_ends import judged
from felix_py.ctl.calc.path_route import TUNNELS, Taken
from felix_py.ctl.calc.world import End, Side
from felix_py.datastore.calc.reachability import Way, address_of
from felix_py.datastore.model import IPAddress, Node


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
