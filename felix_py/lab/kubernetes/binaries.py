"""The programs of a Kubernetes cluster, built by Go from modules of our own and kept between runs.

There is no package of them that a fresh host could install, but they are Go modules: tests/cluster has
a small one that imports them all. They are built once for each content of those modules, outside the
checkout. `python -m felix_py.lab.kubernetes.binaries` builds what is missing and prints the directory:

  kubernetes                                  one binary, which acts by the name it is called with
  kube-apiserver, kubectl, kubelet, ...       links to it
  coredns, pause                              static
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from felix_py.lab import golang
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


def directory() -> Path:
    """Where the programs of this checkout's modules lie, whether or not they are built."""
    return golang.directory("kubernetes", _inputs())


def built() -> Path:
    """The directory with everything in it; built first, if need be. Raises LabError.

    A cold build takes minutes and 2 GB of memory on two cores; several callers wait for one.
    """
    return golang.built(directory(), _build)


def _build(made: Path) -> None:
    golang.build(SOURCES / "kubernetes", made / "kubernetes", _version_flags())
    golang.build(SOURCES / "coredns", made / "coredns")
    run(["gcc", "-static", "-Os", "-s", "-o", str(made / "pause"), str(SOURCES / PAUSE)])
    for name in NAMES:
        (made / name).symlink_to("kubernetes")


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


def _inputs() -> list[Path]:
    modules = [SOURCES / module for module in ("kubernetes", "coredns")]
    return [*(module / file for module in modules for file in MODULE_FILES), SOURCES / PAUSE]


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
