"""The routers: BIRD and FRR, each in a machine of its own, and what they say of themselves."""

from __future__ import annotations

import json
import shlex
import shutil
from dataclasses import dataclass
from typing import Any

from felix_py.lab import answering, bird_config, frr_config
from felix_py.lab.bgp_plan import Router, Session, routers
from felix_py.lab.errors import LabError
from felix_py.lab.home import Home
from felix_py.lab.kubernetes import machines
from felix_py.lab.machine import Machine, layer
from felix_py.lab.topology import Topology

FRR_DAEMONS = "/usr/lib/frr"
ZEBRA_ANSWERS = "vtysh -d zebra -c 'show version' >/dev/null 2>&1"
AFTER_ZEBRA = f"for _ in $(seq 100); do {ZEBRA_ANSWERS} && break; sleep 0.1; done"
"""As watchfrr does: a session that comes up before bgpd knows the interfaces drops every IPv6 route whose
next hop has a link-local address beside it. After ten seconds bgpd starts all the same."""


@dataclass(frozen=True, slots=True)
class RouterView:
    """What a router reports: its sessions by peer name, and its BGP routes by prefix.

    sessions: `up` or the state in the router's own word; routes: prefix to next hops.
    """

    router: Router
    sessions: dict[str, str]
    routes: dict[str, list[str]]

    @property
    def missing(self) -> list[str]:
        """Peers whose session is not up."""
        return [name for name, state in self.sessions.items() if state != "up"]


def start(home: Home, topology: Topology) -> None:
    """Start every router, and what answers at its outside address."""
    for router in routers(topology):
        machine = Machine(home, router.name)
        machine.prepare_disk()
        _configure(home, router)
        machine.boot(machines.furnishing(home, topology, router.name))
        for program, argv in programs(router).items():
            machine.keep(program, argv)
        machine.keep("answer", answering.command(router.name))


def programs(router: Router) -> dict[str, list[str]]:
    """The command lines of a router's programs by their names."""
    if router.kind == "bird":
        return {"bird": ["bird", "-f", "-c", "/etc/bird/bird.conf", "-s", "/run/bird/bird.ctl"]}
    config = ["-f", "/etc/frr/frr.conf", "-u", "frr", "-g", "frr"]
    bgpd = shlex.join([f"{FRR_DAEMONS}/bgpd", *config])
    return {
        # -K: keep the routes of a bgpd that was here before, so long as it takes to be back.
        "zebra": [f"{FRR_DAEMONS}/zebra", *config, "-K", "120"],
        "bgpd": ["sh", "-c", f"{AFTER_ZEBRA}; exec {bgpd}"],
        "staticd": [f"{FRR_DAEMONS}/staticd", *config],
    }


def view(home: Home, router: Router) -> RouterView:
    """Ask a router, by its own tools, for its sessions and routes. Raises LabError."""
    machine = Machine(home, router.name)
    sessions, routes = _bird(machine) if router.kind == "bird" else _frr(machine, router)
    return RouterView(
        router,
        {each.name: sessions.get(_spelled(router, each), "absent") for each in router.sessions},
        routes,
    )


def _bird(machine: Machine) -> tuple[dict[str, str], dict[str, list[str]]]:
    sessions = parse_bird_protocols(machine.run(["birdc", "-r", "show", "protocols"]))
    return sessions, parse_bird_routes(machine.run(["birdc", "-r", "show", "route", "primary"]))


def _frr(machine: Machine, router: Router) -> tuple[dict[str, str], dict[str, list[str]]]:
    """A session that carries both families is up when each of them is."""
    sessions: dict[str, str] = {}
    routes: dict[str, list[str]] = {}
    for version in router.versions:
        table = "ip" if version == 4 else "ipv6"
        told = machine.run(["vtysh", "-c", f"show bgp ipv{version} summary json"])
        for peer, state in parse_frr_summary(told, version).items():
            if sessions.get(peer, "up") == "up":
                sessions[peer] = state
        routes |= parse_frr_routes(machine.run(["vtysh", "-c", f"show {table} route bgp json"]))
    return sessions, routes


def parse_bird_protocols(text: str) -> dict[str, str]:
    """`show protocols` to BGP protocol names and their states, `up` when established."""
    found = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) > 3 and words[1] == "BGP":
            info = words[5] if len(words) > 5 else words[3]
            found[words[0]] = "up" if info == "Established" else info
    return found


def parse_bird_routes(text: str) -> dict[str, list[str]]:
    """`show route primary` to prefixes with their next hops; only what BGP gave."""
    found: dict[str, list[str]] = {}
    prefix, wanted = "", False
    for line in text.splitlines():
        words = line.split()
        if not words or line.startswith("Table"):
            continue
        if not line[0].isspace():
            # Only BGP's routes end in their AS path and origin, `[AS64512i]` or `[i]`.
            prefix, wanted = words[0], words[-1].endswith("]")
        if wanted and words[0] == "via":
            found.setdefault(prefix, []).append(words[1])
    return found


def parse_frr_summary(text: str, version: int = 4) -> dict[str, str]:
    """`show bgp ipv4 summary json` to peer addresses and states."""
    peers = _json(text).get(f"ipv{version}Unicast", {}).get("peers", {})
    return {
        peer: "up" if about.get("state") == "Established" else str(about.get("state"))
        for peer, about in peers.items()
    }


def parse_frr_routes(text: str) -> dict[str, list[str]]:
    """`show ip route bgp json` to prefixes with the next hops in the kernel."""
    found: dict[str, list[str]] = {}
    for prefix, entries in _json(text).items():
        hops = [
            hop["ip"]
            for entry in entries
            if entry.get("selected")
            for hop in entry.get("nexthops", [])
            if hop.get("fib") and "ip" in hop
        ]
        if hops:
            found[prefix] = hops
    return found


def _json(text: str) -> dict[str, Any]:
    try:
        loaded = json.loads(text)
    except ValueError as error:
        raise LabError(f"vtysh: not JSON: {text[:200]!r}") from error
    return loaded if isinstance(loaded, dict) else {}


def _spelled(router: Router, session: Session) -> str:
    return session.name.replace("-", "_") if router.kind == "bird" else str(session.peer)


def _configure(home: Home, router: Router) -> None:
    disk = home.disk(router.name)
    program = "bird" if router.kind == "bird" else "frr"
    renderer = bird_config if router.kind == "bird" else frr_config
    directory = layer(disk, "/etc") / program
    directory.mkdir(parents=True, exist_ok=True)
    (directory / f"{program}.conf").write_text(renderer.render(router))
    runtime = disk / "run" / program
    runtime.mkdir(parents=True, exist_ok=True)
    if program == "frr":
        (directory / "vtysh.conf").write_text("no service integrated-vtysh-config\n")
        for owned in (directory, directory / "frr.conf", directory / "vtysh.conf", runtime):
            shutil.chown(owned, "frr", "frr")
