"""Debian packages as trees: fetched and verified by apt with lists of our own, unpacked by dpkg-deb.

Neither is root needed nor is the host's own package state read or changed; a host that is Ubuntu fetches
Debian's packages, too. No maintainer script runs: what they would do is in contents.py.
"""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from felix_py.lab.namespaces import run
from felix_py.lab.oci import Entry
from image import cache
from image.errors import ImageError

SUITE = "bookworm"
MIRROR = os.environ.get("FELIX_PY_DEBIAN_MIRROR", "http://deb.debian.org")
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
FETCH_SECONDS = 600.0
MERGED = ("bin", "sbin", "lib", "lib64")
"""Top directories that are links into /usr since Debian 12; packages still name them."""


@dataclass(frozen=True, slots=True)
class Package:
    """A package's file in the cache, with what identifies it."""

    name: str
    version: str
    sha256: str
    file: Path

    @property
    def line(self) -> str:
        """For people and for comparison."""
        return f"{self.name} {self.version} sha256:{self.sha256}"


def fetch(names: Sequence[str]) -> list[Package]:
    """The suite's newest versions of these, by name. Raises ImageError, LabError.

    Without a network, those of the last time.
    """
    archives = cache.directory() / "debian" / "archives"
    for part in ("archives", "state/lists/partial", "cache"):
        (archives.parent / part).mkdir(parents=True, exist_ok=True)
    apt = _apt(archives.parent)
    update = subprocess.run([*apt, "update", "-qq"], capture_output=True, text=True, check=False)
    if update.returncode:
        said = update.stderr.strip()
        print(f"apt-get update failed; going on with the lists there are: {said}", file=sys.stderr)
    # apt does not tell about files that lie in the working directory.
    told = run(["env", "-C", "/", *apt, "download", "-qq", "--print-uris", *names])
    wanted = [_wanted(line) for line in told.splitlines() if line]
    absent = [name for file, name, sha256 in wanted if _sha256(archives / file) != sha256]
    if absent:
        here = ["env", "-C", str(archives)]
        run([*here, *apt, "download", "-qq", *absent], timeout_seconds=FETCH_SECONDS)
    found = [_package(archives / file, sha256) for file, _, sha256 in wanted]
    for package in found:
        for other in set(archives.glob(f"{package.name}_*.deb")) - {package.file}:
            other.unlink()
    return sorted(found, key=lambda package: package.name)


def unpack(package: Package) -> dict[str, Entry]:
    """All files and links of a package, /usr merged; no directories, since their files imply them."""
    command = ["dpkg-deb", "--fsys-tarfile", str(package.file)]
    tar = subprocess.run(command, capture_output=True, check=True).stdout
    tree: dict[str, Entry] = {}
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        for member in archive:
            path = merged(member.name)
            if member.issym():
                tree[path] = Entry(member.linkname)
            elif member.islnk():
                tree[path] = tree[merged(member.linkname)]
            elif member.isfile():
                content = archive.extractfile(member)
                assert content is not None, path
                tree[path] = Entry(content.read(), 0o755 if member.mode & 0o100 else 0o644)
    return tree


def merged(path: str) -> str:
    """A package's path as it is where /bin, /lib and others are links into /usr."""
    path = path.removeprefix("./")
    return f"usr/{path}" if path.partition("/")[0] in MERGED else path


def about(package: Package) -> str:
    """The package's control paragraph, as scanners for known faults read it."""
    return run(["dpkg-deb", "--field", str(package.file)])


def _apt(place: Path) -> list[str]:
    if not KEYRING.exists():
        raise ImageError(f"{KEYRING}: install the package debian-archive-keyring (`make setup`)")
    arch = run(["dpkg", "--print-architecture"]).strip()
    signed = f"[arch={arch} signed-by={KEYRING}]"
    lines = [
        f"deb {signed} {MIRROR}/debian {SUITE} main",
        f"deb {signed} {MIRROR}/debian-security {SUITE}-security main",
    ]
    (place / "sources.list").write_text("\n".join(lines) + "\n")
    (place / "state" / "status").touch()
    settings: Mapping[str, str | Path] = {
        "Dir::State": place / "state",
        "Dir::State::status": place / "state" / "status",
        "Dir::Cache": place / "cache",
        "Dir::Etc::sourcelist": place / "sources.list",
        "Dir::Etc::sourceparts": "-",
        "Dir::Etc::preferences": "-",
        "Dir::Etc::preferencesparts": "-",
        "APT::Architecture": arch,
        "APT::Architectures": arch,
        "APT::Sandbox::User": "",
        "Acquire::Languages": "none",
        "Acquire::Retries": "3",
    }
    options = [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]
    return ["apt-get", *options]


def _wanted(line: str) -> tuple[str, str, str]:
    """File, package name and checksum, from a line of --print-uris."""
    words = line.split()
    if len(words) != 4 or not words[3].startswith("SHA256:"):
        raise ImageError(f"apt-get download --print-uris: cannot read {line!r}")
    return words[1], words[1].partition("_")[0], words[3].removeprefix("SHA256:")


def _package(file: Path, sha256: str) -> Package:
    if _sha256(file) != sha256:
        raise ImageError(f"{file}: not what apt's list says; remove it and build again")
    name, version, _ = file.name.split("_")
    return Package(name, unquote(version), sha256, file)


def _sha256(file: Path) -> str:
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except FileNotFoundError:
        return ""
