"""Build step: compile the CNI shim, a static C program, into the package."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

SHIM = Path(__file__).parent / "cni" / "shim"


class BuildWithShim(build_py):
    """Compiles cni/shim/*.c before the packages are copied."""

    def run(self) -> None:
        """Compile with the machine's C compiler (CC, else gcc), then build as usual."""
        compiler = os.environ.get("CC", "gcc")
        flags = ["-std=c99", "-Os", "-static", "-s", "-Wall", "-Wextra", "-Werror"]
        output = str(SHIM / "felix-py")
        sources = sorted(map(str, SHIM.glob("*.c")))
        subprocess.run([compiler, *flags, "-o", output, *sources], check=True)
        super().run()


setup(cmdclass={"build_py": BuildWithShim})
