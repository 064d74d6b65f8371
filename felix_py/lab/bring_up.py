"""What `up` does, in order, and `down`, which leaves nothing."""

from __future__ import annotations

import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import msgspec

from felix_py.lab import (
    etcd,
    fabric,
    kernel_view,
    namespaces,
    node,
    outside,
    paths,
    pods,
    router,
    store_content,
)
from felix_py.lab.bgp_plan import routers
from felix_py.lab.errors import LabError
from felix_py.lab.expect import Expectations
from felix_py.lab.fabric import ETCD
from felix_py.lab.home import Home
from felix_py.lab.kubernetes import cgroups, cluster
from felix_py.lab.kubernetes.cluster import ClusterProof
from felix_py.lab.machine import Machine, wait_ended
from felix_py.lab.router import RouterView
from felix_py.lab.stages import Stages
from felix_py.lab.topology import Topology

PROGRAMS = (
    *("ip", "nsenter", "unshare", "mount", "sysctl", "etcd", "etcdctl", "openssl"),
    *("bird", "birdc", "vtysh", f"{router.FRR_DAEMONS}/bgpd"),
)
PROOF_SECONDS = 30.0
"""How long sessions may take to come up, and after that routes to be everywhere."""


@dataclass(frozen=True, slots=True)
class Proof:
    """What was seen when everything was up."""

    expectations: Expectations
    routers: tuple[RouterView, ...]
    seconds: dict[str, float]
    cluster: ClusterProof | None = None


def check_root() -> None:
    """Raises LabError for anybody else: every command enters or makes namespaces."""
    if os.geteuid() != 0:
        raise LabError(
            "felix-lab needs root, because it makes network namespaces: run it with sudo"
        )


def check_host() -> None:
    """Raises LabError when this host cannot have a lab; nothing is changed before."""
    check_root()
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing:
        raise LabError(f"not installed: {', '.join(missing)}; run `make setup`")


def up(home: Home, topology: Topology, stages: Stages) -> Proof:
    """Build the lab, in place of one that is there, and prove that it works. Raises LabError."""
    check_host()
    with stages.stage("remove what an earlier lab left"):
        down(home)
        home.make()
        home.topology_file.write_bytes(msgspec.json.encode(topology, enc_hook=str))
    if topology.kubernetes is not None:
        cluster.prepare(home, topology, stages)
    with stages.stage("namespaces, racks and the spine"):
        fabric.build(home, topology)
    with stages.stage("etcd's machine" if topology.store_inside else "etcd, with pools and peers"):
        etcd.start(home, topology)
        if not topology.store_inside:
            store_content.write(home, topology)
    with stages.stage("ToRs: " + ", ".join(f"{r.name} ({r.kind})" for r in routers(topology))):
        router.start(home, topology)
        outside.start(home, topology)
    names = [each.name for _, each in topology.nodes]
    with stages.stage(f"{len(names)} nodes: {_programs(topology)}"):
        _start_nodes(home, topology, names)
        if topology.daemons:
            node.wait_in_sync(home, names)
    if topology.kubernetes is not None:
        cluster.settle(home, topology, stages)
    else:
        _start_pods(home, topology, names, stages)
    return prove(home, topology, stages)


def _start_pods(home: Home, topology: Topology, names: list[str], stages: Stages) -> None:
    with stages.stage(f"{len(names) * topology.pods_per_node} pods by the CNI plugin"):
        wanted = [
            (name, f"pod-{name.removeprefix('node-')}-{number}")
            for number in range(1, topology.pods_per_node + 1)
            for name in names
        ]
        pods.add_all(home, wanted)


def prove(
    home: Home, topology: Topology, stages: Stages, timeout_seconds: float = PROOF_SECONDS
) -> Proof:
    """Sessions and routes as the routers report them, everybody reaches everybody, the pairs that the
    pools say by a tunnel and no others.
    """
    if not topology.has_network:
        return Proof(Expectations(home, topology), (), stages.seconds)
    with stages.stage("BGP sessions, as the ToRs report them"):
        views = wait_sessions(home, topology, timeout_seconds)
    expectations, of_cluster = Expectations(home, topology), None
    if topology.kubernetes is None:
        _reach(expectations, stages, timeout_seconds)
    else:
        of_cluster = cluster.prove(home, topology, stages)
    with stages.stage(_kernel_stage(topology)):
        found = kernel_view.not_learned(home, topology, timeout_seconds)
        found += kernel_view.wrong_ways(home, topology, timeout_seconds)
        if not paths.encapsulates(topology):
            found += kernel_view.tunnels(home, topology)
        if found:
            raise LabError(_some(found))
    views = tuple(router.view(home, each.router) for each in views)
    return Proof(expectations, views, stages.seconds, of_cluster)


def _reach(expectations: Expectations, stages: Stages, timeout_seconds: float) -> None:
    expectations.everything()
    with stages.stage("every pod reaches every pod and what is outside"):
        complaints = expectations.check(timeout_seconds)
        if complaints:
            raise LabError(_some(complaints))


def wait_sessions(
    home: Home, topology: Topology, timeout_seconds: float = PROOF_SECONDS
) -> tuple[RouterView, ...]:
    """The routers' views once every session is up. Raises LabError naming those that are not."""
    deadline = time.monotonic() + timeout_seconds
    while True:
        try:
            views = tuple(router.view(home, each) for each in routers(topology))
            missing = [f"{view.router.name} - {peer}" for view in views for peer in view.missing]
            said = f"no session: {', '.join(missing)}"
        except LabError as error:  # a router's socket appears a moment after the router
            views, missing, said = (), ["?"], str(error)
        if not missing:
            return views
        if time.monotonic() > deadline:
            raise LabError(f"after {timeout_seconds:.0f} s: {said}")
        time.sleep(0.2)


def down(home: Home) -> None:
    """End every process and remove every namespace and file of the lab; absent is fine."""
    names = {entry.name for entry in (home.directory / "machines").glob("*")}
    machines = [Machine(home, name) for name in sorted(names)]
    for machine in machines:
        machine.end()
    wait_ended(machines)
    left = namespaces.starting_with(f"{home.name}-")
    running = namespaces.processes(left)
    namespaces.kill([pid for pids in running.values() for pid in pids])
    cgroups.remove(f"{home.name}-")
    for netns in left:
        namespaces.delete(netns)
    home.remove()


def is_up(home: Home) -> bool:
    """Whether a lab of this name was brought up."""
    return home.topology_file.exists() and Machine(home, ETCD).keeper_pid is not None


def _start_nodes(home: Home, topology: Topology, names: list[str]) -> None:
    with ThreadPoolExecutor(2) as workers:
        for job in [workers.submit(node.start, home, topology, name) for name in names]:
            job.result()


def _programs(topology: Topology) -> str:
    """What every node runs."""
    ours = ["felix, bgp, ExaBGP, cni"] if topology.daemons else []
    theirs = ["kubelet, containerd, kube-proxy"] if topology.kubernetes else []
    return "; ".join(ours + theirs)


def _kernel_stage(topology: Topology) -> str:
    if paths.encapsulates(topology):
        return "every node has the others' blocks; the right pairs tunnel"
    return "every node has the others' blocks; no tunnel"


def _some(complaints: list[str], most: int = 12) -> str:
    rest = [f"... and {len(complaints) - most} more"] if len(complaints) > most else []
    return "\n  ".join([f"{len(complaints)} do not hold:", *complaints[:most], *rest])
