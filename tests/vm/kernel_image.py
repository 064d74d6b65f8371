"""Debian's kernel with its modules, unpacked beside the host's own: never installed.

The package behind `linux-image-amd64` is downloaded once into CACHE and unpacked; depmod makes its modules
findable. Several runs at once share it under a lock.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

CACHE = Path(os.environ.get("FELIX_PY_GUEST_KERNEL", "/var/lib/felix-py-guest-kernel"))
"""Below neither a home directory, which lab/reach.py may cover, nor /tmp, /run, /var/cache or /var/tmp: the
guest has memory of its own there, and would find no modules."""
META_PACKAGE = "linux-image-amd64"
DOWNLOAD_SECONDS = 600


@dataclass(frozen=True)
class KernelImage:
    """A kernel: its release (`6.1.0-56-amd64`) and the image file; modules lie beside it."""

    release: str
    file: Path


def kernel_image() -> KernelImage:
    """The newest one that apt offers, or without a network any that is in the cache."""
    root = CACHE
    root.mkdir(parents=True, exist_ok=True)
    with (root / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _fetch(root)
        complete = sorted(root.glob("*/complete"), key=lambda file: file.stat().st_mtime)
    assert complete, f"no kernel in {root}, and apt has none: is {META_PACKAGE} in its lists?"
    directory = complete[-1].parent
    release = next((directory / "lib/modules").iterdir()).name
    return KernelImage(release, directory / f"boot/vmlinuz-{release}")


def _fetch(root: Path) -> None:
    """Have the newest one that apt offers; what apt knew may be outdated, so it is asked twice."""
    for update in ((), ("apt-get", "update", "-q")):
        if update:
            subprocess.run(update, capture_output=True, timeout=DOWNLOAD_SECONDS, check=False)
        package = _package()
        if package is None:
            continue
        if (root / package / "complete").exists() or _unpack(root, package):
            return


def _package() -> str | None:
    done = subprocess.run(
        ["apt-cache", "depends", META_PACKAGE], capture_output=True, text=True, check=False
    )
    found = re.search(r"Depends: (linux-image-\S+)", done.stdout)
    return found.group(1) if found else None


def _unpack(root: Path, package: str) -> bool:
    """Download and unpack; False: it cannot be had. `complete` is written last, so that half a kernel
    is never used."""
    fresh = root / f".{package}"
    shutil.rmtree(fresh, ignore_errors=True)
    (fresh / "download").mkdir(parents=True)
    download = ["apt-get", "download", "-q", package]
    done = subprocess.run(
        download,
        cwd=fresh / "download",
        capture_output=True,
        timeout=DOWNLOAD_SECONDS,
        check=False,
    )
    archives = list((fresh / "download").glob("*.deb"))
    if done.returncode != 0 or len(archives) != 1:
        return False
    (archive,) = archives
    _run(["dpkg-deb", "-x", str(archive), str(fresh)], cwd=fresh)
    shutil.rmtree(fresh / "download")
    release = next((fresh / "lib/modules").iterdir()).name
    _run(["depmod", "-b", str(fresh), release], cwd=fresh)
    (fresh / "complete").touch()
    shutil.rmtree(root / package, ignore_errors=True)
    fresh.rename(root / package)
    return True


def _run(argv: list[str], *, cwd: Path) -> None:
    done = subprocess.run(
        argv, cwd=cwd, capture_output=True, text=True, timeout=DOWNLOAD_SECONDS, check=False
    )
    assert done.returncode == 0, f"{' '.join(argv)}: {done.stderr.strip()[-1000:]}"
