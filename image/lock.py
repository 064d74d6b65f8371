"""Rewrites the lock files: the newest versions that setup.cfg allows, with the hashes of all their files.

uv resolves for the image's Python, whichever runs here.
"""

from __future__ import annotations

import configparser
import sys
import tempfile
from pathlib import Path

from felix_py.lab.namespaces import run
from image import wheels

UV = "uv==0.13.9"
SECONDS = 300.0
SETUP = wheels.CHECKOUT / "setup.cfg"
TOOLS = ("pip", "setuptools", "wheel")
"""What builds wheels."""
HEADER = "# Written by `make lock`.\n"


def requirements() -> list[str]:
    """What the product needs, as setup.cfg says."""
    parser = configparser.ConfigParser()
    parser.read_string(SETUP.read_text())
    return parser["options"]["install_requires"].split("\n")[1:]


def rewrite() -> None:
    """Both of them, in place. Raises LabError."""
    with tempfile.TemporaryDirectory(prefix="felix-py-lock-") as place:
        pip = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        target = ["--root-user-action=ignore", "--target", f"{place}/tools"]
        run([*pip, *target, UV], timeout_seconds=SECONDS)
        uv = Path(place, "tools", "bin", "uv")
        for wanted, file in ((requirements(), wheels.LOCK), (TOOLS, wheels.TOOLS_LOCK)):
            asked = "\n".join(wanted) + "\n"
            target = ["--python-version", wheels.PYTHON, "--python-platform", "linux"]
            form = ["--upgrade", "--generate-hashes", "--no-annotate", "--no-header"]
            command = [str(uv), "pip", "compile", "-q", *form, *target, "-"]
            file.write_text(HEADER + run(command, stdin=asked, timeout_seconds=SECONDS))
