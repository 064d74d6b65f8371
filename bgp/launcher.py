"""ExaBGP's parent, a unit of its own: user, capability, restart, end when frozen; nothing else.

Standard library alone. It outlives the agent, so that sessions stay up while the agent restarts.
When it ends, ExaBGP is killed by the kernel (parent-death signal): nothing is left that would hold
port 179, the peers' graceful restart covers the time until the next launcher starts another.
Should one be left all the same, it is recognised by `<runDir>/bgp/exabgp.pid` (process id and
start time) and ended first.

The agent writes `<runDir>/bgp/exabgp.conf` and `<runDir>/bgp/listen`, a JSON object
{"addresses": ["10.0.0.1"], "port": 179}. On `<runDir>/bgp/launcher.sock` it may ask, one line per
connection: `status`, answered by a JSON object, and `kill <pid>`, answered by `done` or `refused`.
"""

from __future__ import annotations

import argparse
import ipaddress
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from bgp.exabgp_command import command
from bgp.launcher_child import Child, Listen, end_orphan
from bgp.privileges import User, find_user

TICK_SECONDS = 0.25
"""How often the configuration, the listen file and the child are looked at."""
DELAYS_SECONDS = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0)
"""Before the first, second, ... restart in a row; the last one is repeated for ever."""
STEADY_SECONDS = 30.0
"""A child that ran so long makes the next restart the first again."""
TERM_SECONDS = 3.0
"""A child that has not ended so long after SIGTERM is killed; a blocked one ignores SIGTERM."""
REQUEST_SECONDS = 1.0
MAX_REQUEST_BYTES = 256
DIRECTORY_MODE = 0o2750
MAX_LISTEN_BYTES = 64 * 1024


@dataclass(frozen=True)
class Options:
    """What the command line and the environment say."""

    directory: Path
    user: User | None
    config: Path
    listen: Listen
    python: str


def say(event: str, **values: object) -> None:
    """One JSON object per line to standard error."""
    record = {"event": event, "daemon": "bgp-launcher", "level": "info", **values}
    sys.stderr.write(json.dumps(record) + "\n")
    sys.stderr.flush()


class Launcher:
    """One child at a time, restarted on any exit; single-threaded."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._stop = False
        self._child: Child | None = None
        self._listen = options.listen
        self._failures = 0
        self._start_at = 0.0
        self._restarts = 0
        self._waiting_for = ""

    def run(self) -> int:
        """Serve until SIGTERM or SIGINT; 0."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        directory = self._options.directory
        prepare_directory(directory, self._options.user)
        end_orphan(directory / "exabgp.pid", self._options.user, say)
        with open_server(directory / "launcher.sock") as server:
            while not self._stop:
                self._tick()
                self._serve(server)
        self._end_child("asked to stop")
        return 0

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self._stop = True

    def _tick(self) -> None:
        listen = read_listen(self._options.directory / "listen") or self._options.listen
        changed, self._listen = listen != self._listen, listen
        child = self._child
        if child is not None and (status := child.poll()) is not None:
            self._ended(child, status)
        elif child is not None and changed:
            self._end_child("listen addresses changed")
            self._failures, self._start_at = 0, 0.0
        if self._child is None and time.monotonic() >= self._start_at and self._may_start():
            self._start()

    def _may_start(self) -> bool:
        missing = "" if self._options.config.is_file() else str(self._options.config)
        if missing and missing != self._waiting_for:
            say("waiting for the configuration", path=missing)
        self._waiting_for = missing
        return not missing

    def _start(self) -> None:
        options = self._options
        argv = command(options.python, "server", str(options.config))
        self._child = Child.start(
            argv, self._listen, options.user, options.directory / "exabgp.pid"
        )
        say(
            "exabgp started",
            pid=self._child.pid,
            listen=self._listen.addresses,
            port=self._listen.port,
        )

    def _ended(self, child: Child, status: int) -> None:
        now = time.monotonic()
        if now - child.started_at >= STEADY_SECONDS:
            self._failures = 0
        delay = DELAYS_SECONDS[min(self._failures, len(DELAYS_SECONDS) - 1)]
        self._failures += 1
        self._restarts += 1
        self._child, self._start_at = None, now + delay
        say("exabgp ended", level="warning", pid=child.pid, status=status, restart_in_seconds=delay)

    def _end_child(self, reason: str) -> None:
        if self._child is None:
            return
        say("ending exabgp", pid=self._child.pid, reason=reason)
        self._child.end(TERM_SECONDS)
        self._child = None

    def _serve(self, server: socket.socket) -> None:
        """One request, or the end of the tick."""
        wait = TICK_SECONDS
        if self._child is None:
            wait = min(wait, max(0.01, self._start_at - time.monotonic()))
        server.settimeout(wait)
        try:
            connection, _ = server.accept()
        except (TimeoutError, InterruptedError):
            return
        with connection:
            connection.settimeout(REQUEST_SECONDS)
            try:
                request = connection.recv(MAX_REQUEST_BYTES).decode("ascii", "replace")
                connection.sendall((self._answer(request.split()) + "\n").encode())
            except OSError as error:
                say("request lost", level="warning", error=str(error))

    def _answer(self, words: Sequence[str]) -> str:
        pid = self._child.pid if self._child is not None else None
        if words == ["status"]:
            running = time.monotonic() - self._child.started_at if self._child else None
            facts = {"pid": pid, "restarts": self._restarts, "running_seconds": running}
            return json.dumps({**facts, "waiting_for": self._waiting_for})
        if len(words) != 2 or words[0] != "kill" or not words[1].isdigit():
            return "refused: say `status` or `kill <pid>`"
        if self._child is None or pid != int(words[1]):
            return f"refused: {words[1]} is not the ExaBGP that runs now"
        say("killing exabgp", level="warning", pid=pid, reason="asked by the agent")
        self._child.kill()
        return "done"


def prepare_directory(directory: Path, user: User | None) -> None:
    """The run directory of BGP: the user's, group-readable; new files get its group (setgid).

    Without CAP_FSETID the kernel drops setgid at a chmod of what has another's group, so that comes first.
    """
    directory.mkdir(parents=True, exist_ok=True)
    if stat.S_IMODE(directory.stat().st_mode) != DIRECTORY_MODE:
        if user is not None:
            os.chown(directory, 0, 0)
        directory.chmod(DIRECTORY_MODE)
    if user is not None:
        os.chown(directory, user.uid, user.gid)
    if user is not None and (config := directory / "exabgp.conf").is_file():
        os.chown(config, -1, user.gid, follow_symlinks=False)


def open_server(path: Path) -> socket.socket:
    """A listening Unix socket, mode 0600, in place of what was there."""
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    path.unlink(missing_ok=True)
    old_mask = os.umask(0o177)
    try:
        server.bind(str(path))
    finally:
        os.umask(old_mask)
    server.listen(4)
    return server


def read_listen(path: Path) -> Listen | None:
    """What the agent wrote; None when it is absent or cannot be understood."""
    try:
        with path.open("rb") as handle:
            document = json.loads(handle.read(MAX_LISTEN_BYTES))
        addresses = tuple(str(ipaddress.ip_address(text)) for text in document["addresses"])
        return Listen(addresses, checked_port(document["port"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        say("listen file cannot be used", level="error", path=str(path), error=str(error))
        return None


def checked_port(value: object) -> int:
    """A TCP port, or ValueError."""
    port = int(str(value))
    if not 0 < port < 65536:
        raise ValueError(f"port {port}: 1 to 65535")
    return port


def parse(argv: Sequence[str]) -> Options:
    """The command line; each option's default comes from FELIX_PY_LAUNCHER_<NAME>."""
    parser = argparse.ArgumentParser(
        description="Starts ExaBGP as an unprivileged user and restarts it whenever it ends.",
        epilog="Each option's default can be set by the environment: FELIX_PY_LAUNCHER_RUN_DIR, "
        "_USER, _CONFIG, _BIND (comma separated), _PORT, _PYTHON.",
    )
    from_environment = {
        name: os.environ.get(f"FELIX_PY_LAUNCHER_{name}", default)
        for name, default in (
            ("RUN_DIR", os.environ.get("FELIX_PY_NODE_RUN_DIR", "/run/felix-py")),
            ("USER", "64179"), ("CONFIG", ""), ("BIND", ""), ("PORT", "179"), ("PYTHON", sys.executable),
        )
    }  # fmt: skip
    add = parser.add_argument
    add("--run-dir", default=from_environment["RUN_DIR"], help="default %(default)s")
    add(
        "--user", default=from_environment["USER"], help="name, uid or uid:gid; default %(default)s"
    )
    add("--config", default=from_environment["CONFIG"], help="default <run-dir>/bgp/exabgp.conf")
    add("--bind", default=from_environment["BIND"], help="addresses until the agent names some")
    add("--port", default=from_environment["PORT"], help="default %(default)s")
    add("--python", default=from_environment["PYTHON"], help="interpreter that has exabgp")
    chosen = parser.parse_args(argv)
    directory = Path(chosen.run_dir) / "bgp"
    try:
        bound = tuple(str(ipaddress.ip_address(part)) for part in chosen.bind.split(",") if part)
        return Options(
            directory=directory,
            user=find_user(chosen.user) if os.geteuid() == 0 else None,
            config=Path(chosen.config) if chosen.config else directory / "exabgp.conf",
            listen=Listen(bound, checked_port(chosen.port)),
            python=chosen.python,
        )
    except ValueError as error:
        parser.error(str(error))


def main(argv: Sequence[str] | None = None) -> int:
    """The entry point felix-bgp-launcher."""
    try:
        return Launcher(parse(sys.argv[1:] if argv is None else argv)).run()
    except (OSError, subprocess.SubprocessError) as error:
        say("launcher cannot go on", level="error", error=str(error))
        return 1


if __name__ == "__main__":
    sys.exit(main())
