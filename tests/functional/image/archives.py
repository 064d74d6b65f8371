"""Images as `make image` writes them: built from a copy of the checkout, and read by tarfile alone."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from image.wheels import CHECKOUT

BUILD_SECONDS = 600.0
COPIED = ("bgp", "cni", "felix_py", "image", "ipam")
COPIED_FILES = ("LICENSE", "README.md", "pyproject.toml", "setup.cfg", "setup.py")


def copy_checkout(place: Path) -> None:
    """What images are built from, at another path and without what was ever compiled there."""
    ignored = shutil.ignore_patterns("__pycache__", "felix-py")
    for name in COPIED:
        shutil.copytree(CHECKOUT / name, place / name, ignore=ignored)
    for name in COPIED_FILES:
        shutil.copy(CHECKOUT / name, place)


def build(checkout: Path, output: Path, environment: Mapping[str, str] | None = None) -> str:
    """Run the builder of a checkout; what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "image", str(output)],
        cwd=checkout,
        env=os.environ | (environment or {}),
        capture_output=True,
        text=True,
        timeout=BUILD_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@dataclass(frozen=True)
class Archive:
    """An OCI image layout in a tar file; checksums of all that is read are checked."""

    content: bytes

    @classmethod
    def of(cls, directory: Path, name: str) -> Archive:
        """The archive whose file name is this and a version."""
        (file,) = directory.glob(f"{name}-[0-9]*.tar")
        return cls(file.read_bytes())

    def json(self, path: str) -> Any:
        return json.loads(self.file(path))

    def file(self, path: str) -> bytes:
        with tarfile.open(fileobj=io.BytesIO(self.content)) as archive:
            member = archive.extractfile(path)
            assert member is not None, path
            content = member.read()
        if path.startswith("blobs/sha256/"):
            assert hashlib.sha256(content).hexdigest() == path.rpartition("/")[2]
        return content

    @property
    def described(self) -> dict[str, Any]:
        """The index's only entry."""
        (found,) = self.json("index.json")["manifests"]
        return dict(found)

    @property
    def digest(self) -> str:
        return str(self.described["digest"])

    @property
    def layers(self) -> list[str]:
        """Digests."""
        return [layer["digest"] for layer in self._manifest["layers"]]

    @property
    def config(self) -> dict[str, Any]:
        return dict(self.json(_blob(self._manifest["config"]["digest"])))

    def members(self) -> dict[str, tarfile.TarInfo]:
        """What is in the layers, by path."""
        found: dict[str, tarfile.TarInfo] = {}
        for digest in self.layers:
            with tarfile.open(fileobj=io.BytesIO(self.file(_blob(digest)))) as layer:
                found |= {member.name: member for member in layer}
        return found

    def files(self) -> dict[str, bytes]:
        """The contents of the layers' files, by path."""
        found: dict[str, bytes] = {}
        for digest in self.layers:
            with tarfile.open(fileobj=io.BytesIO(self.file(_blob(digest)))) as layer:
                for member in layer:
                    if member.isfile():
                        opened = layer.extractfile(member)
                        assert opened is not None
                        found[member.name] = opened.read()
        return found

    @property
    def _manifest(self) -> dict[str, Any]:
        return dict(self.json(_blob(self.digest)))


def _blob(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"
