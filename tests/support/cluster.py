"""A cluster under test: built by felix-lab, asked by kubectl; and what must not be left of one."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable
from pathlib import Path

from felix_py.lab import etcd, inventory, namespaces
from felix_py.lab.fabric import ETCD
from felix_py.lab.kubernetes import cgroups
from felix_py.lab.kubernetes.kubectl import Kubectl
from felix_py.lab.topology import Topology
from tests.support.lab import Lab

UP_SECONDS = 1200
"""A cluster on a busy host; the first one also waits for Go."""


class Cluster:
    """One lab with a Kubernetes."""

    def __init__(self, lab: Lab, printed: str) -> None:
        self.lab = lab
        self.printed = printed

    @property
    def topology(self) -> Topology:
        """What it looks like."""
        return inventory.topology_that_is_up(self.lab.home)

    @property
    def store(self) -> tuple[str, str]:
        """The machine and the kind of the program that is our etcd."""
        return (etcd.machine(self.topology), ETCD)

    @property
    def kubectl(self) -> Kubectl:
        """The command, as the cluster's administrator."""
        return Kubectl(self.lab.home, self.topology)


def up(directory: Path, topology: str) -> Cluster:
    """Bring one up; it is taken down again when that fails."""
    lab = Lab(directory)
    try:
        return Cluster(lab, lab.felix_lab("up", topology, seconds=UP_SECONDS).stdout)
    except BaseException:
        lab.felix_lab("down", check=False)
        raise


def processes(name: str) -> set[tuple[int, str]]:
    """(pid, start time) of everything that runs in a lab's namespaces or below its control groups."""
    named = namespaces.starting_with(f"{name}-")
    inside = [pid for pids in namespaces.processes(named).values() for pid in pids]
    return {(pid, _started(pid)) for pid in (*inside, *cgroups.processes(f"{name}-"))} - {(0, "")}


def leftovers(lab: Lab, ran: Iterable[tuple[int, str]]) -> list[str]:
    """What is left of a lab that is down, in words; `ran` is what `processes` saw when it was up."""
    found = [f"namespace {name}" for name in namespaces.starting_with(f"{lab.name}-")]
    found += [f"cgroup {group}" for group in cgroups.groups(f"{lab.name}-")]
    found += [f"process {pid}" for pid, started in sorted(ran) if _started(pid) == started]
    found += [f"process {pid}" for pid, _ in sorted(processes(lab.name))]
    found += [f"process {pid}" for pid in _naming(str(lab.directory))]
    found += [
        f"file {path}"
        for path in (lab.directory, *Path("/dev/shm").glob(f"*-{lab.name}"))
        if path.exists()
    ]
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    found += [f"mount {line.split()[4]}" for line in mounts if lab.name in line]
    return found


def _naming(text: str) -> list[int]:
    """Processes whose command line has this in it, but for ourselves."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and text.encode() in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return [pid for pid in sorted(found) if pid != os.getpid()]


def _started(pid: int) -> str:
    """When a process started, in the kernel's ticks; empty when it is gone or only waited for."""
    try:
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if words[0] in "ZX" else words[19]


def host_state() -> dict[str, str]:
    """What of the host's own a cluster must not touch."""
    commands = {
        "links": ["ip", "-o", "link"],
        "addresses": ["ip", "-o", "address"],
        "routes": ["ip", "route", "show", "table", "all"],
        "firewall": ["nft", "list", "ruleset"],
        "sysctls": ["sysctl", "vm.overcommit_memory", "vm.panic_on_oom", "kernel.panic",
                    "kernel.panic_on_oops", "kernel.keys.root_maxkeys",
                    "net.netfilter.nf_conntrack_max"],
        "cgroups": ["sh", "-c", "cd /sys/fs/cgroup && ls -d */kubepods* kubepods* 2>/dev/null"],
        "cni": ["sh", "-c", "find /etc/cni /opt/cni /var/lib/cni /var/lib/kubelet /var/lib/containerd"],
    }  # fmt: skip
    return {
        name: subprocess.run(command, capture_output=True, text=True, check=False).stdout
        for name, command in commands.items()
    }
