"""Tables that a person likes to read."""

from __future__ import annotations

from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from felix_py.lab import pods
from felix_py.lab.addressing import targets_outside
from felix_py.lab.bring_up import Proof
from felix_py.lab.expect import Expectations, Seen
from felix_py.lab.home import DEFAULT_NAME, Home
from felix_py.lab.kubernetes.cluster import ClusterProof
from felix_py.lab.router import RouterView
from felix_py.lab.topology import Topology

CLUSTER_SUGGESTIONS = (
    "kubectl get nodes -o wide",
    "kubectl get pods -A -o wide",
    "kubectl -n lab exec deploy/answer -- nslookup answer.lab.svc.cluster.local",
)
"""What to try where there is a Kubernetes."""


def show(console: Console, home: Home, topology: Topology, proof: Proof) -> None:
    """The whole proof, and what to try next."""
    if proof.cluster is not None:
        console.print(cluster_table(topology, proof.cluster))
    elif topology.daemons:
        console.print(reach_table(home, topology, proof.expectations))
    if proof.routers:
        console.print(router_table(proof.routers))
    total = sum(proof.seconds.values())
    console.print(f"\n[bold]{topology.name}[/bold] is up after {total:.0f} s. Try next:")
    for line in suggestions(home, topology):
        console.print(f"  [cyan]{line}[/cyan]", highlight=False, soft_wrap=True)


def reach_table(home: Home, topology: Topology, expectations: Expectations) -> Table:
    """A row per pod, in it a line per family: whom it reaches by ping and TCP, over how many routers."""
    table = _table("Who reaches whom: other pods, and the addresses outside")
    outsides = list(targets_outside(topology))
    for heading in ("pod", "node", "address", "ping", "TCP", "routers", *outsides):
        table.add_column(heading, no_wrap=True)
    everyone = pods.every(home)
    names = {pod.name for pod in everyone}
    for pod in everyone:
        seen = [each for pair, each in expectations.seen.items() if pair[0] == pod.name]
        others = [each for each in seen if each.target in names]
        table.add_row(
            pod.name,
            pod.node,
            *_families(others, [(v, pod.addressed(v)) for v in topology.versions]),
            " ".join(str(distance) for distance in sorted({each.routers for each in others})),
            *(_outside([each for each in seen if each.target == name]) for name in outsides),
        )
    return table


def cluster_table(topology: Topology, proof: ClusterProof) -> Table:
    """A row per pod of the cluster: whom it reaches by ping and TCP, over how many routers."""
    table = _table("Who reaches whom: pods of the cluster, and the addresses outside")
    outsides = list(targets_outside(topology))
    for heading in ("pod", "node", "address", "ping", "TCP", "routers", *outsides):
        table.add_column(heading, no_wrap=True)
    for pod in proof.pods:
        seen = [each for each in proof.seen if each.source == pod.name]
        others = [each for each in seen if each.target not in outsides]
        table.add_row(
            pod.name,
            pod.node,
            *_families(others, [(4, pod.address)]),
            " ".join(str(distance) for distance in sorted({each.routers for each in others})),
            *(_outside([each for each in seen if each.target == name]) for name in outsides),
        )
    return table


def router_table(views: tuple[RouterView, ...]) -> Table:
    """A row per router: its sessions and the routes it has from BGP, in its own words."""
    table = _table("What the routers say of themselves")
    for heading in ("router", "AS", "sessions", "routes from BGP and their next hops"):
        table.add_column(heading)
    for view in views:
        sessions = [
            f"[green]✓[/] {name}" if state == "up" else f"[red]✗ {name}: {state}[/]"
            for name, state in view.sessions.items()
        ]
        routes = [
            f"{prefix} via {' '.join(sorted(set(hops)))}"
            for prefix, hops in sorted(view.routes.items())
        ]
        name = f"{view.router.name}\n[dim]{view.router.kind.upper()}[/]"
        table.add_row(name, str(view.router.as_number), "\n".join(sessions), "\n".join(routes))
        table.add_section()
    return table


def status_tables(document: dict[str, Any]) -> list[Table]:
    """Nodes, pods and processes for people."""
    nodes = _table(f"{document['topology']} in {document['directory']}")
    for heading in ("machine", "rack / kind", "namespace", "addresses", "processes"):
        nodes.add_column(heading)
    running: dict[str, list[str]] = {}
    for each in document["processes"]:
        running.setdefault(each["node"], []).append(f"{each['kind']} {each['pid']}")
    for each in document["nodes"]:
        programs = ", ".join(running.get(each["name"], [])) or "[red]down[/red]"
        nodes.add_row(
            each["name"], each["rack"], each["netns"], "\n".join(each["addresses"]), programs
        )
    for each in document["tors"]:
        programs = ", ".join(running.get(each["name"], [])) or "[red]down[/red]"
        addresses = "\n".join(each[key] for key in ("outside", "outside6") if each[key])
        nodes.add_row(each["name"], each["kind"], each["netns"], addresses, programs)
    for each in document["outsides"]:
        nodes.add_row(
            each["name"], f"behind {each['tor']}", each["netns"], "\n".join(each["addresses"]), ""
        )
    etcd = document["etcd"]
    nodes.add_row(
        "etcd",
        "etcd",
        etcd["netns"],
        etcd["endpoint"],
        _named(running.get(etcd["machine"], []), "etcd "),
    )
    table = _table("pods")
    for heading in ("pod", "node", "address", "namespace", "host's end"):
        table.add_column(heading)
    for each in document["pods"]:
        addresses = "\n".join(each[key] for key in ("address", "address6") if each[key])
        table.add_row(each["name"], each["node"], addresses, each["netns"], each["interface"])
    return [nodes, table]


def suggestions(home: Home, topology: Topology) -> list[str]:
    """Commands that show something at once."""
    name = "" if home.name == DEFAULT_NAME else f" --name {home.name}"
    lab = f"felix-lab{name}"
    first, last = topology.nodes[0][1].name, topology.nodes[-1][1].name
    tor = topology.racks[0].tor
    ask = "birdc show route" if tor.kind == "bird" else "vtysh -c 'show ip route'"
    lines = [
        *(f"{lab} {line}" for line in (CLUSTER_SUGGESTIONS if topology.kubernetes else ())),
        f"{lab} status",
        f"{lab} exec {tor.name} -- {ask}",
        f"{lab} exec {first} -- ip route show proto 81",
        f"{lab} exec {first} -- felixctl status",
        f"{lab} fail process {first} exabgp",
        f"{lab} fail link {last} {topology.rack_of(last).tor.name} && {lab} heal",
        f"{lab} logs {first} bgp",
        f"{lab} down",
    ]
    if topology.applied:
        agent = "kubectl -n felix-py exec daemonset/felix-py-node -- felixctl"
        lines[1:1] = [f"{lab} {agent} status", f"{lab} {agent} get ippool -o yaml"]
    running = pods.every(home)
    if running:
        far = running[-1].address
        lines.insert(1, f"{lab} exec {running[0].name} -- ping -c 3 {far}")
    return lines


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)


def _families(seen: list[Seen], addresses: list[tuple[int, str]]) -> tuple[str, str, str]:
    """Addresses, and pings and TCP connections that were answered of those tried, by family."""
    pinged, connected = [], []
    for version, address in addresses:
        tried = [each for each in seen if each.version == version] if address else []
        pinged.append(_count(sum(each.ttl is not None for each in tried), len(tried)))
        connected.append(_count(sum(each.said == each.target for each in tried), len(tried)))
    return "\n".join(a for _, a in addresses), "\n".join(pinged), "\n".join(connected)


def _outside(seen: list[Seen]) -> str:
    """A line per family: whether it holds, and as whom the pod is seen when that is not itself."""
    return "\n".join(
        f"{_mark(ok=each.complaint is None)}{' as node' if each.way.translated else ''}"
        for each in sorted(seen, key=lambda each: each.version)
    )


def _named(programs: list[str], beginning: str) -> str:
    return ", ".join(each for each in programs if each.startswith(beginning))


def _count(right: int, of: int) -> str:
    return f"[{'green' if right == of else 'red'}]{right}/{of}[/]"


def _mark(*, ok: bool) -> str:
    return "[green]✓[/green]" if ok else "[red]✗[/red]"
