"""A machine of the lab: network, mount and UTS namespaces of its own, held by a keeper.

Its host name is its name. /etc, /opt, /var/lib and /var/log are the host's with a layer of its own
on top, /run is its own; so /etc/machine-id, /etc/cni, /opt/cni and our state and run directories
belong to it alone, and no path of the host needs to be created or changed. /run/netns is shared,
because pods' namespaces are named there, but for machines that have a container runtime. Mounts of the
host reach the machine, not the other way.
"""

from __future__ import annotations

import json
import shlex
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from felix_py.lab import namespaces, reach
from felix_py.lab.errors import LabError
from felix_py.lab.home import OVERLAID, Home

KEEPER = Path(__file__).with_name("keeper.py")
BOOT_SECONDS = 10.0
END_SECONDS = 8.0
"""How long a keeper may take to end everything; what is left then is killed."""


@dataclass(frozen=True, slots=True)
class Furnishing:
    """What a machine has besides its own files.

    binds: what is seen (by its place) instead of what is there, each a file or directory of the host.
    runtime: it names its own pods' namespaces, and mounts made in it reach its containers.
    """

    binds: Mapping[str, str] = field(default_factory=dict)
    runtime: bool = False


PLAIN = Furnishing()


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine by its lab and name; all of its state is in the kernel and the lab's directory."""

    home: Home
    name: str

    @property
    def netns(self) -> str:
        """The name of its network namespace."""
        return self.home.netns(self.name)

    @property
    def _keeper(self) -> Path:
        return self.home.keeper(self.name)

    def prepare_disk(self) -> None:
        """Make its own files, once: a machine id that survives reboots, an empty /run."""
        disk = self.home.disk(self.name)
        for overlaid in OVERLAID:
            layer(disk, overlaid).mkdir(parents=True, exist_ok=True)
            (disk / "work" / _flat(overlaid)).mkdir(parents=True, exist_ok=True)
        machine_id = layer(disk, "/etc") / "machine-id"
        if not machine_id.exists():
            machine_id.write_text(uuid.uuid4().hex + "\n")
        (layer(disk, "/etc") / "hostname").write_text(self.name + "\n")
        # As Debian's installer writes it: without it every look-up of the machine's own name waits
        # for a name server that cannot be reached from here.
        hosts = f"127.0.0.1 localhost\n127.0.1.1 {self.name}\n::1 localhost ip6-localhost\n"
        (layer(disk, "/etc") / "hosts").write_text(hosts)
        for directory in ("run/netns", "run/lock"):
            (disk / directory).mkdir(parents=True, exist_ok=True)

    def empty_run_dir(self) -> None:
        """Forget what a reboot forgets; only while the machine is down."""
        shutil.rmtree(self.home.run_dir(self.name), ignore_errors=True)

    def boot(self, furnishing: Furnishing = PLAIN) -> None:
        """Start its keeper in namespaces of its own; the network namespace must exist."""
        self._keeper.mkdir(parents=True, exist_ok=True)
        (self._keeper / "keeper.pid").unlink(missing_ok=True)
        log = self.home.log(self.name, "keeper")
        log.parent.mkdir(parents=True, exist_ok=True)
        script = boot_script(self.home, self.name, furnishing)
        with log.open("ab") as output:
            subprocess.Popen(  # lives on after us: everything it owns is in namespaces of the lab's
                [
                    "nsenter",
                    f"--net={namespaces.path(self.netns)}",
                    "unshare",
                    "--mount",
                    "--uts",
                    "--propagation",
                    "slave",
                    "sh",
                    "-c",
                    script,
                ],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                cwd="/",
            )
        deadline = time.monotonic() + BOOT_SECONDS
        while self.keeper_pid is None:
            if time.monotonic() > deadline:
                raise LabError(f"{self.name}: did not boot; see {log}")
            time.sleep(0.01)

    @property
    def keeper_pid(self) -> int | None:
        """The process that holds the machine, None when it is down."""
        pid = _read_pid(self._keeper / "keeper.pid")
        return pid if pid is not None and namespaces.alive(pid) else None

    def command(self, argv: Sequence[str]) -> list[str]:
        """A command as one that runs inside the machine. Raises LabError when it is down."""
        pid = self.keeper_pid
        if pid is None:
            raise LabError(f"{self.name}: is down; `felix-lab heal` brings it back")
        return ["nsenter", "-t", str(pid), "-m", "-u", "-n", "--", *argv]

    def run(self, argv: Sequence[str], *, stdin: str = "", timeout_seconds: float = 60.0) -> str:
        """What a command wrote inside the machine. Raises LabError when it fails."""
        return namespaces.run(self.command(argv), stdin=stdin, timeout_seconds=timeout_seconds)

    def keep(self, program: str, argv: Sequence[str]) -> None:
        """Run this from now on, again whenever it ends."""
        wanted = self._keeper / "wanted"
        wanted.mkdir(parents=True, exist_ok=True)
        text = json.dumps(
            {
                "argv": list(argv),
                "env": environment(),
                "log": str(self.home.log(self.name, program)),
            }
        )
        fresh = wanted / f".{program}"
        fresh.write_text(text)
        fresh.replace(wanted / program)
        self._nudge()

    def forget(self, program: str) -> None:
        """End it, for good; absent is fine."""
        (self._keeper / "wanted" / program).unlink(missing_ok=True)
        self._nudge()

    def hold(self, program: str) -> None:
        """Do not start it again when it ends, until it is released."""
        (self._keeper / "held" / program).touch()

    def release(self, program: str) -> None:
        """Start it again if it ended while it was held."""
        (self._keeper / "held" / program).unlink(missing_ok=True)
        self._nudge()

    def pids(self) -> dict[str, int]:
        """The process of each program that its keeper runs."""
        found = {}
        for file in sorted((self._keeper / "pids").glob("*")):
            pid = _read_pid(file)
            if pid is not None and namespaces.alive(pid):
                found[file.name] = pid
        return found

    def end(self) -> None:
        """Ask the keeper to end everything; absent is fine. What is left is killed by its caller."""
        pid = self.keeper_pid
        if pid is not None:
            namespaces.signal_quietly(pid, signal.SIGTERM)

    def _nudge(self) -> None:
        pid = self.keeper_pid
        if pid is not None:
            namespaces.signal_quietly(pid, signal.SIGHUP)


def wait_ended(machines: Sequence[Machine]) -> None:
    """Wait, at most END_SECONDS, until these machines' keepers are gone."""
    deadline = time.monotonic() + END_SECONDS
    while any(machine.keeper_pid for machine in machines) and time.monotonic() < deadline:
        time.sleep(0.02)


def environment() -> dict[str, str]:
    """What a program of a machine gets: the installation's PATH first, nothing of the caller's."""
    here = str(Path(sys.executable).parent)
    system = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    return {"PATH": f"{here}:{system}", "LANG": "C.UTF-8", "HOME": "/"}


def layer(disk: Path, directory: str) -> Path:
    """Where a machine's own files of an overlaid directory lie."""
    return disk / "layers" / _flat(directory)


def boot_script(home: Home, name: str, furnishing: Furnishing = PLAIN) -> str:
    """The shell text that turns fresh namespaces into the machine and becomes its keeper."""
    disk = home.disk(name)
    quoted = shlex.quote
    lines = ["set -e", f"hostname {quoted(name)}"]
    for overlaid in OVERLAID:
        work = disk / "work" / _flat(overlaid)
        options = f"lowerdir={overlaid},upperdir={layer(disk, overlaid)},workdir={work}"
        lines.append(f"mount -t overlay overlay -o {quoted(options)} {overlaid}")
    for place, shown in furnishing.binds.items():
        lines.append(f"if [ -d {quoted(shown)} ]; then mkdir -p {quoted(place)}; fi")
        lines.append(f"mount --bind {quoted(shown)} {quoted(place)}")
    lines += reach.opening(reach.needed(), str(disk / "aside"))
    run = disk / "run"
    if not furnishing.runtime:
        lines.append(f"mount --rbind /run/netns {quoted(str(run))}/netns")
    if home.directory.is_relative_to("/run"):
        inside = quoted(str(run / home.directory.relative_to("/run")))
        lines += [f"mkdir -p {inside}", f"mount --rbind {quoted(str(home.directory))} {inside}"]
    lines.append(f"mount --rbind {quoted(str(run))} /run")
    if furnishing.runtime:
        lines.append("mount --make-rshared /")
    keeper = [sys.executable, "-I", "-S", str(KEEPER), str(home.keeper(name))]
    lines.append("exec " + " ".join(map(quoted, keeper)))
    return "\n".join(lines)


def _flat(directory: str) -> str:
    return directory.strip("/").replace("/", "-")


def _read_pid(file: Path) -> int | None:
    try:
        return int(file.read_text())
    except (OSError, ValueError):
        return None
