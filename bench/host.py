"""On what a benchmark ran: enough to judge its figures by, nothing that names the host."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import msgspec


class Host(msgspec.Struct, frozen=True):
    """`load`: the average number of running processes of the last minute, before the run."""

    cores: int
    cpu: str
    kernel: str
    memory_gb: float
    load: float


def describe() -> Host:
    """This host now."""
    page = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return Host(
        cores=os.cpu_count() or 0,
        cpu=_cpu(Path("/proc/cpuinfo").read_text("ascii", "replace")),
        kernel=platform.release(),
        memory_gb=round(page / 2**30, 1),
        load=round(os.getloadavg()[0], 1),
    )


def _cpu(text: str) -> str:
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()
