"""The images that the lab's own pods need, made from files: the same whenever the files are the same."""

from __future__ import annotations

import subprocess
from pathlib import Path

from felix_py.lab.errors import LabError
from felix_py.lab.oci import PROGRAM, STICKY, Entry, Settings, Tree, image

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


def every(binaries: Path) -> dict[str, bytes]:
    """The lab's own images by their names: the sandboxes' first process, a DNS server, a small Unix."""
    pause = {"pause": Entry((binaries / "pause").read_bytes(), PROGRAM)}
    coredns = {"coredns": Entry((binaries / "coredns").read_bytes(), PROGRAM)}
    return {
        PAUSE_IMAGE: archive(PAUSE_IMAGE, pause, "/pause"),
        COREDNS_IMAGE: archive(COREDNS_IMAGE, coredns, "/coredns"),
        BUSYBOX_IMAGE: archive(BUSYBOX_IMAGE, _busybox()),
    }


def archive(name: str, tree: Tree, *entry_point: str) -> bytes:
    """An image of this name and one layer as an archive."""
    settings = Settings(entry_point=entry_point, environment={"PATH": "/bin"})
    return image(name, [tree], settings).archive


def _busybox() -> Tree:
    """Debian's static busybox under all its names, and a page that httpd serves."""
    try:
        listed = subprocess.run([BUSYBOX, "--list"], capture_output=True, text=True, check=True)
        binary = BUSYBOX.read_bytes()
    except (OSError, subprocess.CalledProcessError) as error:
        raise LabError(f"{BUSYBOX}: {error}; run `make setup`") from error
    links = {f"bin/{name}": Entry("busybox") for name in listed.stdout.split()}
    return links | {
        "bin/busybox": Entry(binary, PROGRAM),
        "www/cgi-bin/who": Entry(WHO, PROGRAM),
        "etc/passwd": Entry(b"root:x:0:0::/:/bin/sh\n"),
        "tmp": Entry(None, STICKY),
    }
