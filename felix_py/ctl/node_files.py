"""What a node's files tell explain and doctor: settings below /proc/sys, and the daemons' status."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from felix_py.ctl.calc.facts import DaemonFact
from felix_py.runtime import status_file

SYSCTL_ROOT = Path("/proc/sys/net")
SYSCTLS = (
    *("ipv4/ip_forward", "ipv4/conf/all/rp_filter", "ipv4/conf/default/rp_filter"),
    *("ipv4/conf/all/forwarding", "ipv6/conf/all/forwarding", "ipv6/conf/all/disable_ipv6"),
    *("ipv4/neigh/default/gc_thresh1", "ipv4/neigh/default/gc_thresh2"),
    *("ipv4/neigh/default/gc_thresh3", "ipv6/neigh/default/gc_thresh3"),
    *("ipv4/fib_multipath_hash_policy", "ipv6/fib_multipath_hash_policy"),
    *("ipv4/ip_no_pmtu_disc", "ipv4/tcp_mtu_probing"),
    *("netfilter/nf_conntrack_count", "netfilter/nf_conntrack_max"),
)
"""Read where they are there; spelled below /proc/sys/net."""


def sysctls() -> Iterator[tuple[str, int]]:
    """Each setting that is there, with its value."""
    for name in SYSCTLS:
        try:
            yield name, int((SYSCTL_ROOT / name).read_text("ascii"))
        except (OSError, ValueError):
            continue


def daemon_fact(run_dir: str, daemon: str) -> DaemonFact:
    """A daemon's status, and whether the process that wrote it still runs."""
    document = status_file.read(run_dir, daemon)
    return DaemonFact(document or {}, status_file.runs(run_dir, daemon))
