"""Python packages as trees: what the lock file names, by pip, which checks the hashes; and our own wheel.

The image's Python need not be the builder's: wheels for it are asked for by tag and unpacked here. What PyPI
has as source only is pure Python, and built with locked tools.
"""

from __future__ import annotations

import configparser
import hashlib
import io
import os
import platform
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from felix_py.lab.namespaces import run
from felix_py.lab.oci import PLAIN, PROGRAM, Entry
from image import cache

CHECKOUT = Path(__file__).resolve().parents[1]
LOCK = CHECKOUT / "image" / "requirements.lock"
TOOLS_LOCK = CHECKOUT / "image" / "tools.lock"
PYTHON = "3.11"
"""Debian 12's."""
GLIBC = range(36, 16, -1)
"""Minor versions of glibc whose wheels run on Debian 12's 2.36, the best first."""
FROM_SOURCE = ("etcd3",)
PIP_SECONDS = 900.0
SOURCES = (
    "felix_py",
    "bgp",
    "ipam",
    "cni",
    "setup.cfg",
    "setup.py",
    "pyproject.toml",
    "README.md",
    "LICENSE",
)
"""What our own wheel is made from."""
NOT_SOURCES = ("__pycache__", "felix-py", "*.egg-info")


def third_party() -> dict[str, Entry]:
    """All packages of the lock file, by their path below a directory of Python packages. Raises LabError."""
    named = LOCK.read_bytes() + TOOLS_LOCK.read_bytes() + platform.machine().encode()
    wheels = cache.kept(f"wheels-{hashlib.sha256(named).hexdigest()[:16]}", _download)
    tree: dict[str, Entry] = {}
    for wheel in sorted(wheels.glob("*.whl")):
        tree |= unpack(wheel.read_bytes())
    return tree


def own() -> dict[str, Entry]:
    """This checkout's packages, with the shim compiled. Raises LabError."""
    with tempfile.TemporaryDirectory(prefix="felix-py-wheel-") as place:
        source, made = Path(place, "source"), Path(place, "made")
        source.mkdir()
        for name in SOURCES:
            if (CHECKOUT / name).is_dir():
                ignored = shutil.ignore_patterns(*NOT_SOURCES)
                shutil.copytree(CHECKOUT / name, source / name, ignore=ignored)
            else:
                shutil.copy(CHECKOUT / name, source / name)
        _pip("wheel", "--no-deps", "--no-build-isolation", "-w", str(made), str(source))
        (wheel,) = made.glob("*.whl")
        return unpack(wheel.read_bytes())


def unpack(wheel: bytes) -> dict[str, Entry]:
    """A wheel's importable files, and its metadata without the list of files: not all of them are kept.

    Programs are left out; `scripts` makes them from the metadata.
    """
    tree: dict[str, Entry] = {}
    with zipfile.ZipFile(io.BytesIO(wheel)) as archive:
        for info in archive.infolist():
            path = _importable(info.filename)
            if path is None or info.is_dir() or path.endswith(".dist-info/RECORD"):
                continue
            program = (info.external_attr >> 16) & 0o100
            tree[path] = Entry(archive.read(info), PROGRAM if program else PLAIN)
    return tree


def scripts(tree: Mapping[str, Entry], package: str) -> Iterator[tuple[str, str, str]]:
    """The console scripts (name, module, function) of a package whose metadata lies in the tree."""
    for path, entry in tree.items():
        if path.startswith(f"{package}-") and path.endswith(".dist-info/entry_points.txt"):
            assert isinstance(entry.content, bytes), path
            parser = configparser.ConfigParser()
            parser.read_string(entry.content.decode())
            for name, target in parser["console_scripts"].items():
                module, _, function = target.partition(":")
                yield name, module.strip(), function.strip()


def _importable(path: str) -> str | None:
    top, _, rest = path.partition("/")
    if not top.endswith(".data"):
        return path
    kind, _, inside = rest.partition("/")
    return inside if kind in ("purelib", "platlib") else None


def _download(place: Path) -> None:
    """Fill a directory with the lock file's packages as wheels."""
    ready, built = _split(LOCK.read_text())
    for name, text in (("ready.txt", ready), ("built.txt", built)):
        (place / name).write_text(text)
    checked = ("--no-deps", "--require-hashes")
    abis = [word for abi in ("cp311", "abi3", "none") for word in ("--abi", abi)]
    machine = platform.machine()
    platforms = [f"manylinux_2_{minor}_{machine}" for minor in GLIBC] + [f"manylinux2014_{machine}"]
    fitting = [word for name in platforms for word in ("--platform", name)]
    target = ["--python-version", PYTHON, "--implementation", "cp", *abis, *fitting]
    only = ["--only-binary", ":all:", *target]
    _pip("download", *checked, *only, "-d", str(place), "-r", str(place / "ready.txt"))
    plain = ("--no-build-isolation", "-w", str(place), "-r", str(place / "built.txt"))
    _pip("wheel", *checked, *plain)


def _split(lock: str) -> tuple[str, str]:
    """A lock file's requirements that PyPI has as wheels, and those that it has as source."""
    blocks: list[str] = []
    for line in lock.splitlines(keepends=True):
        if line[0] in " \t" and blocks:
            blocks[-1] += line
        elif not line.startswith("#"):
            blocks.append(line)
    built = [block for block in blocks if block.partition("==")[0] in FROM_SOURCE]
    return "".join(block for block in blocks if block not in built), "".join(built)


def _pip(*arguments: str) -> None:
    tools = cache.kept(f"tools-{hashlib.sha256(TOOLS_LOCK.read_bytes()).hexdigest()[:16]}", _tools)
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "315532800")  # zip knows no date before 1980
    run(
        [
            *("env", f"SOURCE_DATE_EPOCH={max(int(epoch), 315532800)}", "PYTHONHASHSEED=0"),
            *("PIP_DISABLE_PIP_VERSION_CHECK=1", "PIP_FIND_LINKS=", f"PYTHONPATH={tools}"),
            *(sys.executable, "-m", "pip", *arguments, "-q", "--no-input"),
        ],
        timeout_seconds=PIP_SECONDS,
    )


def _tools(place: Path) -> None:
    """pip, setuptools and wheel in the versions of their lock file: other versions write other wheels."""
    pip = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-deps"]
    target = ["--root-user-action=ignore", "--require-hashes", "--only-binary", ":all:"]
    run([*pip, *target, "--target", str(place), "-r", str(TOOLS_LOCK)], timeout_seconds=PIP_SECONDS)
