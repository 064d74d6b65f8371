"""Container images without a registry: tar archives in the form of `docker save`, made from files.

They are the same whenever they are made from the same files.
"""

from __future__ import annotations

import hashlib
import io
import json
import platform
import subprocess
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from felix_py.lab.errors import LabError

MACHINES: Mapping[str, str] = {"x86_64": "amd64", "aarch64": "arm64"}
BUSYBOX = Path("/bin/busybox")
PAUSE_IMAGE = "docker.io/felix-py/pause:1"
COREDNS_IMAGE = "docker.io/felix-py/coredns:1"
BUSYBOX_IMAGE = "docker.io/felix-py/busybox:1"
WHO = b"""#!/bin/sh
# Who answers, and as whom the asker is seen: httpd spells IPv4 addresses [::ffff:a.b.c.d].
echo
hostname
seen=${REMOTE_ADDR#[}
seen=${seen%]}
echo "${seen#::ffff:}"
"""


@dataclass(frozen=True, slots=True)
class Content:
    """The files (place to bytes, all executable) and links (place to target) of an image's one layer."""

    files: Mapping[str, bytes]
    links: Mapping[str, str] = field(default_factory=dict)
    directories: tuple[str, ...] = ()
    entry_point: tuple[str, ...] = ()


def every(binaries: Path) -> dict[str, bytes]:
    """The lab's own images by their names: the sandboxes' first process, a DNS server, a small Unix."""
    pause = Content({"pause": (binaries / "pause").read_bytes()}, entry_point=("/pause",))
    coredns = Content({"coredns": (binaries / "coredns").read_bytes()}, entry_point=("/coredns",))
    return {
        PAUSE_IMAGE: archive(PAUSE_IMAGE, pause),
        COREDNS_IMAGE: archive(COREDNS_IMAGE, coredns),
        BUSYBOX_IMAGE: archive(BUSYBOX_IMAGE, _busybox()),
    }


def archive(name: str, content: Content) -> bytes:
    """An image of this name as an archive."""
    layer = _tar(content)
    digest = f"sha256:{hashlib.sha256(layer).hexdigest()}"
    path = "PATH=/bin"
    about = {
        "architecture": MACHINES[platform.machine()],
        "os": "linux",
        "config": {"Env": [path], "Entrypoint": list(content.entry_point) or None},
        "rootfs": {"type": "layers", "diff_ids": [digest]},
    }
    manifest = [{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]
    return _tar(
        Content(
            {
                "config.json": json.dumps(about).encode(),
                "layer.tar": layer,
                "manifest.json": json.dumps(manifest).encode(),
            }
        )
    )


def _busybox() -> Content:
    """Debian's static busybox under all its names, and a page that httpd serves."""
    try:
        listed = subprocess.run([BUSYBOX, "--list"], capture_output=True, text=True, check=True)
        binary = BUSYBOX.read_bytes()
    except (OSError, subprocess.CalledProcessError) as error:
        raise LabError(f"{BUSYBOX}: {error}; run `make setup`") from error
    applets = [name for name in listed.stdout.split() if name != "busybox"]
    return Content(
        {"bin/busybox": binary, "www/cgi-bin/who": WHO, "etc/passwd": b"root:x:0:0::/:/bin/sh\n"},
        {f"bin/{name}": "busybox" for name in applets},
        ("tmp",),
    )


def _tar(content: Content) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as made:
        for name in content.directories:
            about = tarfile.TarInfo(name)
            about.type, about.mode = tarfile.DIRTYPE, 0o1777
            made.addfile(about)
        for name, data in content.files.items():
            about = tarfile.TarInfo(name)
            about.size, about.mode = len(data), 0o755
            made.addfile(about, io.BytesIO(data))
        for name, target in content.links.items():
            about = tarfile.TarInfo(name)
            about.type, about.linkname = tarfile.SYMTYPE, target
            made.addfile(about)
    return buffer.getvalue()
