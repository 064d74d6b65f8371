"""A ToR to the text of frr.conf (FRR 8: zebra and bgpd). Pure."""

from __future__ import annotations

from ipaddress import ip_network

from felix_py.lab.bgp_plan import Router, Session

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


# A neighbour sends its global and its link-local address; the global one says who it is.
IPV6_HEAD = """\
ipv6 nht resolve-via-default
!
route-map GLOBAL permit 10
 set ipv6 next-hop prefer-global
exit
"""


def render(router: Router) -> str:
    """The whole file."""
    assert router.forwards, "only a ToR runs FRR"
    head = f"hostname {router.name}\nlog stdout informational\nip nht resolve-via-default\n"
    bgp = BGP_HEAD.format(as_number=router.as_number, router_id=router.router_id)
    neighbours = "".join(_neighbour(session) for session in router.sessions)
    families = "".join(_address_family(router, version) for version in router.versions)
    if any(session.neighbour == "reflector" for session in router.sessions):
        head += "!\nroute-map NOTHING deny 10\nexit\n"
    if 6 in router.versions:
        head += IPV6_HEAD
    return f"{head}!\n{bgp}{neighbours}{families}exit\n!\nline vty\n"


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


def _address_family(router: Router, version: int) -> str:
    """What a session of another family carries is listed where it belongs."""
    networks = [one for one in router.networks if ip_network(one).version == version]
    listed = "".join(f"  network {network}\n" for network in networks)
    sessions = [each for each in router.sessions if version in each.versions]
    return (
        f" !\n address-family ipv{version} unicast\n"
        f"{listed}  maximum-paths 8\n  maximum-paths ibgp 8\n"
        f"{''.join(_family(session, version) for session in sessions)}"
        " exit-address-family\n"
    )


def _family(session: Session, version: int) -> str:
    prefix = f"  neighbor {session.peer}"
    lines = [f"{prefix} activate", f"{prefix} soft-reconfiguration inbound"]
    if version == 6:
        lines += [f"{prefix} route-map GLOBAL in"]
    if session.neighbour == "node-reflect":
        lines += [f"{prefix} route-reflector-client", f"{prefix} next-hop-self force"]
    if session.neighbour == "reflector":
        lines += [f"{prefix} route-map NOTHING out"]
    return "\n".join(lines) + "\n"
