"""What a container runtime does with a plugin: environment and standard input, nothing else."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SHIM_SOURCES = Path(__file__).parents[3] / "cni" / "shim"
WARNINGS = ("-std=c99", "-Wall", "-Wextra", "-Werror")


def compile_shim(directory: Path, *flags: str) -> Path:
    """Compile the shim with these flags; the executable."""
    executable = directory / "felix-py"
    sources = sorted(map(str, SHIM_SOURCES.glob("*.c")))
    subprocess.run(
        ["gcc", *WARNINGS, *flags, "-o", str(executable), *sources], check=True, timeout=120
    )
    return executable


@dataclass(frozen=True, slots=True)
class Result:
    """What the runtime sees."""

    exit_code: int
    stdout: bytes

    @property
    def json(self) -> dict[str, Any]:
        """Standard output as JSON; empty when there was none."""
        loaded: dict[str, Any] = json.loads(self.stdout or b"{}")
        return loaded

    @property
    def code(self) -> int:
        """The error's code, 0 without one."""
        return int(self.json.get("code", 0)) if self.exit_code else 0


@dataclass(frozen=True, slots=True)
class Plugin:
    """An executable and the socket that it is told to use."""

    executable: Path
    socket: Path

    def start(self, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
        """Start it with just this environment (and the socket's path)."""
        return subprocess.Popen(
            [str(self.executable)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={"FELIX_PY_CNI_SOCKET": str(self.socket), **environment},
        )

    def call(
        self, environment: Mapping[str, str], stdin: bytes, timeout_seconds: float = 100
    ) -> Result:
        """Run it to its end."""
        with self.start(environment) as process:
            try:
                stdout, _ = process.communicate(stdin, timeout_seconds)
            except BaseException:
                process.kill()
                raise
            return Result(process.returncode, stdout)


def environment(
    command: str,
    container: str = "c1",
    netns: str = "/proc/self/ns/net",
    ifname: str = "eth0",
    args: str = "",
) -> dict[str, str]:
    """The CNI_* variables of a call."""
    return {
        "CNI_COMMAND": command,
        "CNI_CONTAINERID": container,
        "CNI_NETNS": netns,
        "CNI_IFNAME": ifname,
        "CNI_ARGS": args,
        "CNI_PATH": "/opt/cni/bin",
    }
