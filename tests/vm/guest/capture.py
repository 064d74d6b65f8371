"""Captures at several places at once, while the pods ping one another."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.vm.guest.packets import Packet, read

READY_SECONDS = 60.0
FILTER = "ip proto 4 or icmp"
FILE_HEADER = 24
"""What tcpdump writes once it listens."""


class Captures:
    """The packets by the name of the place, filled when `capturing` ends."""

    def __init__(self) -> None:
        self.packets: dict[str, list[Packet]] = {}


@contextmanager
def capturing(places: Mapping[str, tuple[str, str]], directory: Path) -> Iterator[Captures]:
    """Capture at each place (namespace, interface) for the length of the block."""
    files = {name: directory / f"{name}.pcap" for name in places}
    for file in files.values():
        file.unlink(missing_ok=True)
    running = [_start(*place, files[name]) for name, place in places.items()]
    captures = Captures()
    try:
        _wait_until_listening(list(files.values()))
        yield captures
        time.sleep(1.0)
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait(30)
    captures.packets = {name: list(read(file.read_bytes())) for name, file in files.items()}


def _start(netns: str, interface: str, file: Path) -> subprocess.Popen[bytes]:
    enter = ["nsenter", f"--net=/run/netns/{netns}", "--"]
    options = ["-n", "-U", "--immediate-mode", "-Z", "root", "-i", interface, "-w", str(file)]
    return subprocess.Popen(
        [*enter, "tcpdump", *options, FILTER],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _wait_until_listening(files: list[Path]) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while not all(file.exists() and file.stat().st_size >= FILE_HEADER for file in files):
        assert time.monotonic() < deadline, "tcpdump does not listen"
        time.sleep(0.2)
