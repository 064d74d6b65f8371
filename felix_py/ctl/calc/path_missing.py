"""Why a node has no route to an end: the first link of the chain that should have brought it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import ip_network
from typing import Any

from felix_py.ctl.calc.path import Fault, Finding
from felix_py.ctl.calc.world import End, Side, World
from felix_py.ctl.findings import mapping, mappings, texts
from felix_py.datastore.calc.reachability import Reach, Way, Writer, address_of
from felix_py.datastore.model import AffinityState, IPAddress


def why(world: World, near: Side, end: End, wanted: Reach) -> Finding:
    """The reason, always one."""
    if wanted.way is Way.NONE:
        return Finding(Fault.NO_ROUTE, wanted.reason, "correct what it names in etcd")
    if wanted.writer is Writer.FELIX:
        return _felix(near, end)
    assert end.node is not None
    far = world.side(end.node)
    found = _heard(near, end)
    found = found or _not_said(world, far, end)
    found = found or _session(near, far, end)
    found = found or _daemon(near, "bgp", f"the route to {end.address}")
    return found or _filtered(near, far, end)


def _felix(near: Side, end: End) -> Finding:
    down = _daemon(near, "felix", f"the route to {end.address}")
    if down is not None:
        return down
    failed = mappings(mapping(near.status("felix").get("routes")).get("failed"))
    refused = next((one for one in failed if covers(one.get("prefix"), end.address)), None)
    if refused is not None:
        text = f"the kernel of {near.name} refuses {refused.get('prefix')}: {refused.get('reason')}"
        return Finding(Fault.NO_ROUTE, text, "see felixctl status there")
    return Finding(
        Fault.NO_ROUTE,
        f"felix on {near.name} has not written the route to {end.address}",
        f"felixctl status on {near.name}; is it in sync?",
    )


def _daemon(side: Side, daemon: str, what: str) -> Finding | None:
    if not side.stopped(daemon):
        return None
    return Finding(
        Fault.DAEMON_DOWN,
        f"{daemon} does not run on {side.name}, so {what} is not written",
        f"start it; its log on {side.name} says why it ended",
    )


def _heard(near: Side, end: End) -> Finding | None:
    """A peer told, and the path is not used, or used and not in the kernel."""
    paths = near.told(end.address) or ()
    refused = next((path for path in paths if path.refused), None)
    used = next((path for path in paths if path.used), None)
    if used is None and refused is not None:
        return Finding(
            Fault.PATH_REFUSED,
            f"{near.name} refuses {refused.prefix} from {refused.peer} ({refused.source}): "
            f"{refused.refused}",
            "correct the pool or block in etcd, or what the peer announces",
        )
    if used is None:
        return None
    learned = mapping(near.status("bgp").get("learned"))
    hops = mappings(learned.get("unresolvedNextHops"))
    lost = next((hop for hop in hops if hop.get("nextHop") == str(used.next_hop)), None)
    reason = f": {lost.get('reason')}" if lost else "; felixctl status there names what is refused"
    return Finding(
        Fault.NO_ROUTE,
        f"{near.name} was told {used.prefix} via {used.next_hop} by {used.peer} ({used.source}), "
        f"and its kernel has no route{reason}",
        f"make {used.next_hop} reachable from {near.name}" if lost else "see felixctl status",
    )


def _not_said(world: World, far: Side, end: End) -> Finding | None:
    """The far node does not announce the address."""
    announced = texts(far.status("bgp").get("announced"))
    if not far.status("bgp") or any(covers(prefix, end.address) for prefix in announced):
        return None
    block = end.block
    state = None if block is None else world.affinities.get((far.name, block.cidr))
    if end.pool is not None and end.pool.disable_bgp_export:
        reason, remedy = f"IPPool({end.pool.name}) has disableBGPExport", "set it to false"
    elif block is not None and block.host == far.name and state is not AffinityState.CONFIRMED:
        reason = f"its affinity to {block.cidr} is {state.value if state else 'not there'}"
        remedy = f"felixctl ipam check; the cni server of {far.name} confirms it at the next ADD"
    elif far.stopped("bgp"):
        reason, remedy = "its bgp agent does not run", "start it"
    else:
        reason, remedy = "its bgp agent does not say why", f"felixctl status on {far.name}"
    text = f"{far.name} does not announce {end.address}: {reason}"
    return Finding(Fault.NOT_ANNOUNCED, text, remedy)


def _session(near: Side, far: Side, end: End) -> Finding | None:
    """The session between the two if they have one, else any that is down on either's side."""
    theirs = None if far.node is None else address_of(far.node, end.address.version)
    between = [s for s in near.sessions() if theirs and s.get("peer") == str(theirs.ip)]
    if between and between[0].get("state") == "up":
        return None
    for side, sessions in ((near, between or near.sessions()), (far, far.sessions())):
        down = next((s for s in sessions if s.get("state") != "up"), None)
        if down is not None:
            return session_down(side, down)
    if not near.sessions() and near.status("bgp"):
        text = f"{near.name} has no BGP session that could tell it of {end.address}"
        return Finding(Fault.SESSION_DOWN, text, "create a BGPPeer for it, or switch the mesh on")
    return None


def session_down(side: Side, session: Mapping[str, Any], *, breaks: bool = True) -> Finding:
    """A session that is down, named by its peer and where it comes from."""
    reason = f": {session['reason']}" if session.get("reason") else ""
    return Finding(
        Fault.SESSION_DOWN,
        f"the session of {side.name} with {session.get('peer')} ({session.get('source')}) is down"
        f"{reason}",
        f"is {session.get('peer')} reachable from {side.name}, and do AS numbers and password agree?",
        breaks=breaks,
    )


def _filtered(near: Side, far: Side, end: End) -> Finding:
    said, heard = peers_text(far.sessions()), peers_text(near.sessions())
    return Finding(
        Fault.FILTERED,
        f"{far.name} announces {end.address} to {said}, and none of the peers of {near.name} "
        f"({heard}) passes it on, though all sessions are up",
        "look at the import and export filters of the routers between them "
        f"(birdc show route for {end.address} all; vtysh -c 'show bgp ipv4 unicast {end.address}')",
    )


def peers_text(sessions: Iterable[Mapping[str, Any]]) -> str:
    """Peers with where they come from."""
    return ", ".join(f"{s.get('peer')} ({s.get('source')})" for s in sessions) or "nobody"


def covers(prefix: object, address: IPAddress) -> bool:
    """Whether a prefix that a status document names holds an address; what is none holds nothing."""
    try:
        return address in ip_network(str(prefix))
    except ValueError:
        return False
