"""The way to what is no pod of the cluster: the route out, address translation, and the way back."""

from __future__ import annotations

from ipaddress import ip_address

from felix_py.ctl.calc.path import Fault, Finding, Step, Taken, route_text
from felix_py.ctl.calc.path_ends import unseen
from felix_py.ctl.calc.path_missing import covers, peers_text
from felix_py.ctl.calc.path_route import dropped
from felix_py.ctl.calc.world import End, Side, World, addresses_of
from felix_py.ctl.findings import texts
from felix_py.kernel.ownership import NFT_TABLE

NAT_CHAIN = "postrouting"
"""Where felix's table translates (agent/calc/nat.py)."""


def leave(near: Side, source: End, end: End, entered_by: str) -> Taken:
    """The route to an address outside: the default route, or one that a router told."""
    step = Step(near.name, f"route to {end.title}", "", "the host's own route, or BGP's")
    if near.facts is None:
        return Taken(unseen(near, step))
    found = near.facts.lookup(end.address, source.address, entered_by)
    plain = near.facts.lookup(end.address)
    lost = dropped(near, source, end, entered_by, found, plain)
    taken = found or plain
    route = None if taken is None else taken.route
    if lost is None and route is None:
        lost = Finding(
            Fault.NO_ROUTE,
            f"{near.name} has no route to {end.address}, not even a default route",
            "give the node a default route",
        )
    text = "no route" if route is None else route_text(route)
    return Taken(Step(step.where, step.what, text, step.owner, lost), None if lost else route)


def translation(near: Side, source: End) -> Step:
    """Whether natOutgoing applies to a packet that leaves for an address in no pool."""
    owner = "" if source.pool is None else f"IPPool({source.pool.name})"
    step = Step(near.name, "natOutgoing", "", owner)
    if source.pool is None or not source.pool.nat_outgoing:
        off = "off: the packet leaves with the pod's address"
        return Step(step.where, step.what, off, owner)
    if near.facts is None or near.facts.nft is None:
        text = Step(step.where, step.what, "on", owner)
        return unseen(near, text) if near.facts is None else text
    table = next((t for t in near.facts.nft if (t.family, t.name) == ("inet", NFT_TABLE)), None)
    name = f"inet {NFT_TABLE}"
    rules = 0 if table is None else table.chains.get(NAT_CHAIN, 0)
    if table is None or not rules:
        gone = "is not there" if table is None else f"has no rules in its chain {NAT_CHAIN}"
        finding = Finding(
            Fault.NAT_MISSING,
            f"nftables' table {name} {gone} on {near.name}: the packet leaves with the pod's address",
            f"is felix running on {near.name}? It writes the table again within a second",
        )
        return Step(step.where, step.what, f"table {name} {gone}", owner, finding)
    return Step(step.where, step.what, f"on: table {name}, chain {NAT_CHAIN}, rules {rules}", owner)


def way_back(world: World, near: Side, source: End) -> Step:
    """How an answer finds the pod: the node's own address, or somebody outside who knows the pod."""
    step = Step("outside", f"way back to {source.title}")
    if source.pool is not None and source.pool.nat_outgoing:
        return Step(step.where, step.what, f"to the address of {near.name}", f"Node({near.name})")
    status = near.status("bgp")
    ours = {str(address) for node in world.nodes.values() for address in addresses_of(node)}
    routers = [
        s
        for s in near.sessions()
        if s.get("peer") not in ours and _version(s.get("peer")) == source.address.version
    ]
    up = [session for session in routers if session.get("state") == "up"]
    said = [p for p in texts(status.get("announced")) if covers(p, source.address)]
    if up and said:
        text = f"{said[0]} is announced to {peers_text(up)}"
        return Step(step.where, step.what, text, f"Node({near.name})", note="not seen beyond them")
    if not status and near.terms.backend.value == "bgp":
        return unseen(near, step)
    why = (
        f"{near.name} has no session with a router that is up"
        if not up
        else f"{near.name} does not announce it"
    )
    return Step(
        step.where,
        step.what,
        "",
        f"Node({near.name})",
        Finding(
            Fault.NO_WAY_BACK,
            f"nobody outside is told where {source.address} is: {why}",
            "set natOutgoing on the pool, or let a router learn the pods by BGP (BGPPeer)",
        ),
    )


def _version(text: object) -> int:
    """The family that a session carries: that of its peer's address."""
    try:
        return ip_address(str(text)).version
    except ValueError:
        return 0
