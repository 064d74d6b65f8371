"""felix-py-cleanup: takes away from a node what is ours, after the last pod of ours has gone.

Routes, links, rules and files stay as long as a pod lives on them: the conflist, too, because containerd
without one deletes no pod. Until then a cni server without etcd runs here: it answers the deletion of
pods, and refuses new ones. Only what carries our marks is touched (docs/ownership.md).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import msgspec
import structlog

from cni.install import uninstall
from cni.settings import CniSettings
from felix_py.kernel.errors import DumpInterrupted, KernelRefused
from felix_py.kernel.iptables_legacy import FORWARD, IptablesLegacy
from felix_py.kernel.model import Link
from felix_py.kernel.nft_command import NftAway, NftCommand, NftRefused
from felix_py.kernel.ownership import (
    BGP,
    FELIX,
    IPIP_LINK,
    LINK_PREFIX,
    NFT_TABLE,
    QOS_TABLE,
    VXLAN_LINKS,
)
from felix_py.kernel.pyroute2_kernel import Pyroute2Kernel
from felix_py.kernel.route_table import RouteTable
from felix_py.kernel.traffic_control import TrafficControl
from felix_py.kernel.tunnel_device import TunnelDevice
from felix_py.kernel.tunnel_links import NetlinkTunnelLinks
from felix_py.runtime import health_server, logs, status_file
from felix_py.runtime.clock import SystemClock
from felix_py.runtime.errors import FelixPyError, RefusedError
from felix_py.runtime.health import Health
from felix_py.runtime.logs import LogSettings
from felix_py.runtime.settings import NodeSettings, load, parse_arguments
from felix_py.runtime.supervisor import stop_on_signals

log = structlog.get_logger(__name__)

ABOUT = "felix-py-cleanup: removes what is ours from this node when the last pod of ours has gone."
PERIOD_SECONDS = 2.0
HEALTH_PORT = 9095
CONCERN = "cleanup"
ETCD_DIR, SNAPSHOTS = Path("/var/lib/felix-py-etcd"), "snapshots"
MAX_NAMED = 5
END_SECONDS = 8.0
NO_ETCD = "http://127.0.0.1:1"
QUIET = {"FELIX_PY_LOG_LEVEL": "error"}
"""It would say every few seconds that there is no etcd."""
HOST_FOLDERS = ("FELIX_PY_CNI_BIN_DIR", "FELIX_PY_CNI_CONF_DIR")
"""Not for the server: it would write there again what is to go."""


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The sections that are read."""

    node: NodeSettings = NodeSettings()
    cni: CniSettings = CniSettings()
    log: LogSettings = LogSettings()


def main() -> None:
    """The console script: works until it is told to stop; ready when nothing of ours is left."""
    stop = threading.Event()
    stop_on_signals(stop)
    try:
        settings = load(Settings, parse_arguments(Settings, sys.argv[1:], ABOUT), os.environ)
        logs.set_up("cleanup", settings.log)
        health = Health(SystemClock())
        health.not_ready(CONCERN, "not started yet")
        health_server.serve(health, "127.0.0.1", HEALTH_PORT, "port")
        run(settings, health, stop)
    except FelixPyError as error:
        sys.stderr.write(f"felix-py-cleanup: {error}\n")
        sys.exit(1)


def run(settings: Settings, health: Health, stop: threading.Event) -> None:
    """Wait for the pods, clean, and stay: what is started again begins anew."""
    said, server = "", CniServer()
    while not stop.is_set():
        problem = step(settings, server)
        if problem != said:
            log.info("waiting" if problem else "nothing of ours is left", reason=problem)
            said = problem
        health.note(CONCERN, problem or None)
        if not problem:
            break
        stop.wait(PERIOD_SECONDS)
    server.end()
    stop.wait()


class CniServer:
    """The cni server as a process of ours, for as long as there are pods to delete."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def runs(self) -> bool:
        """Whether it does."""
        return self._process is not None and self._process.poll() is None

    def keep(self) -> None:
        """Have it running. Raises RefusedError."""
        if self.runs:
            return
        kept = {
            name: text for name, text in os.environ.items() if not name.startswith(HOST_FOLDERS)
        }
        environment = {**kept, "FELIX_PY_DATASTORE_ENDPOINTS": NO_ETCD, **QUIET}
        try:
            self._process = subprocess.Popen(["felix-cni"], env=environment)
        except OSError as error:
            raise RefusedError(f"felix-cni cannot be started: {error}") from error

    def end(self) -> None:
        """Have it stopped."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None


def step(settings: Settings, server: CniServer) -> str:
    """One attempt: what it still waits for; empty: nothing of ours is left."""
    others = ("felix", "bgp") if server.runs else ("felix", "bgp", "cni")
    running = [name for name in others if status_file.runs(settings.node.run_dir, name)]
    if running:
        return f"{', '.join(running)} still run here: delete felix-py.yaml first"
    with Pyroute2Kernel() as kernel:
        living = living_pods(kernel.links())
        if living:
            server.keep()
            named = ", ".join(living[:MAX_NAMED])
            return f"{len(living)} pods of ours still run here ({named}): drain or delete them"
        try:
            clean_kernel(kernel)
        except (KernelRefused, DumpInterrupted, NftRefused, NftAway) as error:
            return f"the kernel does not let go: {error}; trying again"
    server.end()
    clean_files(settings)
    return ""


def living_pods(links: Sequence[Link]) -> list[str]:
    """Host sides of our pods, by name and alias."""
    return [link.name for link in links if link.name.startswith(LINK_PREFIX) and link.alias]


def clean_kernel(kernel: Pyroute2Kernel) -> None:
    """Routes, tunnel devices, queues, tables and our rules in others' chains. Raises what they raise."""
    for owner in (FELIX, BGP):
        failed = RouteTable(kernel, owner).apply()
        for refused in failed.values():
            raise refused
    with NetlinkTunnelLinks() as tunnels:
        for name, version in ((IPIP_LINK, 4), *((name, v) for v, name in VXLAN_LINKS.items())):
            device = TunnelDevice(name, version, tunnels)
            device.want(None)
            device.apply()
    with TrafficControl() as shaping:
        shaping.want({})
        shaping.apply(kernel.links(), sweep=True)
    _clean_tables(NftCommand())
    _clean_legacy(IptablesLegacy())


def _clean_tables(nft: NftCommand) -> None:
    lines = [
        f"delete rule {chain.family} {chain.table} {chain.name} handle {rule.handle}"
        for chain in nft.forward_chains()
        for rule in nft.rules(chain, chain.name)
        if rule.admits
    ]
    lines += [
        f"delete table {family} {name}"
        for family, name in sorted(nft.tables())
        if name in {NFT_TABLE, QOS_TABLE}
    ]
    if lines:
        nft.apply("".join(f"{line}\n" for line in lines))


def _clean_legacy(legacy: IptablesLegacy) -> None:
    for version in (4, 6):
        if not legacy.in_use(version):
            continue
        _, chains = legacy.forward(version)
        ours = [rule.handle for rule in chains.get(FORWARD, []) if rule.admits]
        for number in sorted(ours, reverse=True):
            legacy.delete(version, number)


def clean_files(settings: Settings) -> None:
    """Shim, sockets, records, and etcd's data where it was; its snapshots stay. Raises FelixPyError."""
    uninstall(settings.cni)
    for place in (Path(settings.node.run_dir), Path(settings.node.state_dir)):
        _empty(place)
    _empty(ETCD_DIR, but=SNAPSHOTS)


def _empty(place: Path, but: str = "") -> None:
    if not place.is_dir():
        return
    for path in place.iterdir():
        if path.name == but:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
