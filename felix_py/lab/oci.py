"""Container images without a registry: an OCI image layout in a tar archive, made from what is in memory.

The same trees, names and settings give the same bytes, whenever and wherever: entries are sorted, owned by
root, dated as the caller says, and not compressed (compressors differ between machines). The archive
carries its name both ways that importers look for (containerd's annotation; `docker load`'s manifest.json).
Specification: https://github.com/opencontainers/image-spec, image-layout.md and manifest.md, v1.1.
"""

from __future__ import annotations

import hashlib
import io
import json
import platform
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any

MACHINES: Mapping[str, str] = {"x86_64": "amd64", "aarch64": "arm64"}
"""What the specification (Go's GOARCH) calls a machine."""
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
INDEX = "application/vnd.oci.image.index.v1+json"
PLAIN, PROGRAM, FOLDER = 0o644, 0o755, 0o755
STICKY = 0o1777


@dataclass(frozen=True, slots=True)
class Entry:
    """A file (bytes), a symbolic link (text: its target) or a directory (None)."""

    content: bytes | str | None
    mode: int = PLAIN


Tree = Mapping[str, Entry]
"""Entries by their path, without a leading slash; directories above them need not be listed."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How the image's processes start, and what is said about it."""

    entry_point: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    user: str = ""


@dataclass(frozen=True, slots=True)
class Image:
    """An image as an archive, and its manifest's digest, by which it is known (`sha256:...`)."""

    archive: bytes
    digest: str


def image(name: str, layers: Sequence[Tree], settings: Settings, at: int = 0) -> Image:
    """An image of this name (registry/path:tag); `at`: its date and its files', in seconds since 1970."""
    tars = [layer(tree, at) for tree in layers]
    config = _json(
        {
            "created": datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "architecture": MACHINES[platform.machine()],
            "os": "linux",
            "config": _config(settings),
            "rootfs": {"type": "layers", "diff_ids": [_digest(tar) for tar in tars]},
        }
    )
    manifest = _json(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": _descriptor(CONFIG, config),
            "layers": [_descriptor(LAYER, tar) for tar in tars],
        }
    )
    blobs = {_blob(content): Entry(content) for content in (config, manifest, *tars)}
    saved = {"Config": _blob(config), "RepoTags": [name], "Layers": [_blob(tar) for tar in tars]}
    tree = {
        "oci-layout": Entry(_json({"imageLayoutVersion": "1.0.0"})),
        "index.json": Entry(_json(_index(name, manifest))),
        "manifest.json": Entry(_json([saved])),
        **blobs,
    }
    return Image(layer(tree, at), _digest(manifest))


def layer(tree: Tree, at: int = 0) -> bytes:
    """A tar archive of a tree, with the directories that it implies, sorted."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as made:
        for path, entry in sorted(_with_parents(tree)):
            about = tarfile.TarInfo(path)
            about.mtime = at
            about.mode = entry.mode
            match entry.content:
                case None:
                    about.type = tarfile.DIRTYPE
                    made.addfile(about)
                case str(target):
                    about.type, about.linkname, about.mode = tarfile.SYMTYPE, target, 0o777
                    made.addfile(about)
                case bytes(content):
                    about.size = len(content)
                    made.addfile(about, io.BytesIO(content))
    return buffer.getvalue()


def _with_parents(tree: Tree) -> Iterator[tuple[str, Entry]]:
    yield from tree.items()
    above = {str(parent) for path in tree for parent in PurePosixPath(path).parents}
    yield from ((path, Entry(None, FOLDER)) for path in above - tree.keys() - {"."})


def _config(settings: Settings) -> dict[str, Any]:
    environment = [f"{name}={value}" for name, value in sorted(settings.environment.items())]
    said = {
        "User": settings.user,
        "Env": environment,
        "Entrypoint": list(settings.entry_point),
        "Labels": dict(settings.labels),
    }
    return {name: value for name, value in said.items() if value}


def _index(name: str, manifest: bytes) -> dict[str, Any]:
    annotations = {
        "io.containerd.image.name": name,
        "org.opencontainers.image.ref.name": name.rpartition(":")[2],
    }
    about = {**_descriptor(MANIFEST, manifest), "annotations": annotations}
    return {"schemaVersion": 2, "mediaType": INDEX, "manifests": [about]}


def _descriptor(kind: str, content: bytes) -> dict[str, Any]:
    return {"mediaType": kind, "digest": _digest(content), "size": len(content)}


def _blob(content: bytes) -> str:
    return f"blobs/sha256/{hashlib.sha256(content).hexdigest()}"


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
