"""The files that the launcher and ExaBGP read: written whole, checked by ExaBGP before it sees them."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path

from bgp.exabgp_command import command
from bgp.model import IPAddress

CONFIG_MODE = 0o640
"""ExaBGP's group may read it: it holds the MD5 passwords."""
VALIDATE_SECONDS = 60.0
"""Validation takes 0.14 s; one that takes so long is ended and counts as a refusal. A node that starts on
a starved processor needs tens of seconds, and would never have BGP if it were always ended before."""


class Candidate:
    """A configuration written beside the real one, while ExaBGP's own parser looks at it."""

    def __init__(self, directory: Path, text: str, python: str, now: float) -> None:
        self.text = text
        self._target = directory / "exabgp.conf"
        self._deadline = now + VALIDATE_SECONDS
        group = directory.stat().st_gid
        descriptor, name = tempfile.mkstemp(prefix=".exabgp.conf.", dir=directory)
        self._path = Path(name)
        with os.fdopen(descriptor, "w", encoding="ascii") as handle:
            handle.write(text)
            handle.flush()
            if os.fstat(handle.fileno()).st_gid != group:
                os.fchown(handle.fileno(), -1, group)
            os.fchmod(handle.fileno(), CONFIG_MODE)
            os.fsync(handle.fileno())
        self._process = subprocess.Popen(
            command(python, "validate", str(self._path)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
        )

    def verdict(self, now: float) -> bool | None:
        """True: ExaBGP takes it. False: it does not. None: not known yet."""
        status = self._process.poll()
        if status is None and now >= self._deadline:
            self._process.kill()
            self._process.wait()
            return False
        return None if status is None else status == 0

    def install(self) -> None:
        """Put it in place of the one that ExaBGP reads."""
        self._path.replace(self._target)

    def discard(self) -> None:
        """Leave no trace of it."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self._path.unlink(missing_ok=True)


class ConfigFiles:
    """What the agent writes for ExaBGP and its launcher. `python`: an interpreter that has exabgp."""

    def __init__(self, directory: Path, python: str) -> None:
        self._directory = directory
        self._python = python

    def candidate(self, text: str, now: float) -> Candidate:
        """Write it beside the real one and have it checked. Raises OSError."""
        return Candidate(self._directory, text, self._python, now)

    def installed(self) -> str | None:
        """The configuration that ExaBGP reads now, None when there is none."""
        try:
            return (self._directory / "exabgp.conf").read_text("ascii")
        except (FileNotFoundError, UnicodeDecodeError):
            return None

    def write_listen(self, addresses: Iterable[IPAddress], port: int) -> None:
        """Tell the launcher where ExaBGP listens. Raises OSError."""
        write_listen(self._directory, addresses, port)


def write_listen(directory: Path, addresses: Iterable[IPAddress], port: int) -> bool:
    """Tell the launcher where ExaBGP listens; False when it says so already."""
    ordered = sorted(set(addresses), key=lambda address: (address.version, int(address)))
    text = json.dumps({"addresses": [str(address) for address in ordered], "port": port}) + "\n"
    path = directory / "listen"
    try:
        if path.read_text("ascii") == text:
            return False
    except (FileNotFoundError, UnicodeDecodeError):
        pass
    descriptor, name = tempfile.mkstemp(prefix=".listen.", dir=directory)
    with os.fdopen(descriptor, "w", encoding="ascii") as handle:
        handle.write(text)
        os.fchmod(handle.fileno(), CONFIG_MODE)
    Path(name).replace(path)
    return True
