"""A ToR to the text of frr.conf (FRR 8: zebra and bgpd). Pure."""

from __future__ import annotations

from felix_py.lab.addressing import Router, Session

# select-defer-time: a bgpd that starts waits for every peer's End-of-RIB before it chooses paths,
# by default 360 s, although a node of the lab may well be away.
BGP_HEAD = """\
router bgp {as_number}
 bgp router-id {router_id}
 bgp log-neighbor-changes
 no bgp ebgp-requires-policy
 no bgp default ipv4-unicast
 bgp bestpath as-path multipath-relax
 bgp graceful-restart
 bgp graceful-restart restart-time 120
 bgp graceful-restart stalepath-time 130
 bgp graceful-restart select-defer-time 5
 bgp graceful-restart preserve-fw-state
 timers bgp 30 90
"""


def render(router: Router) -> str:
    """The whole file."""
    assert router.outside is not None, "only a ToR runs FRR"
    head = f"hostname {router.name}\nlog stdout informational\nip nht resolve-via-default\n"
    bgp = BGP_HEAD.format(as_number=router.as_number, router_id=router.router_id)
    neighbours = "".join(_neighbour(session) for session in router.sessions)
    networks = "".join(f"  network {network}\n" for network in router.networks)
    families = "".join(_family(session) for session in router.sessions)
    if any(session.neighbour == "reflector" for session in router.sessions):
        head += "!\nroute-map NOTHING deny 10\nexit\n"
    return (
        f"{head}!\n{bgp}{neighbours} !\n address-family ipv4 unicast\n"
        f"{networks}  maximum-paths 8\n  maximum-paths ibgp 8\n{families}"
        " exit-address-family\nexit\n!\nline vty\n"
    )


def _neighbour(session: Session) -> str:
    prefix = f" neighbor {session.peer}"
    lines = [
        f"{prefix} remote-as {session.peer_as}",
        f"{prefix} description {session.peer_name}",
        f"{prefix} update-source {session.local}",
        f"{prefix} timers connect 2",
        f"{prefix} advertisement-interval 0",
    ]
    if session.neighbour == "reflector":
        lines += [f"{prefix} ebgp-multihop 8", f"{prefix} disable-connected-check"]
    return "\n".join(lines) + "\n"


def _family(session: Session) -> str:
    prefix = f"  neighbor {session.peer}"
    lines = [f"{prefix} activate", f"{prefix} soft-reconfiguration inbound"]
    if session.neighbour == "node-reflect":
        lines += [f"{prefix} route-reflector-client", f"{prefix} next-hop-self force"]
    if session.neighbour == "reflector":
        lines += [f"{prefix} route-map NOTHING out"]
    return "\n".join(lines) + "\n"
