"""The MTU that felix found right for this node's pods, where the CNI server reads it.

<stateDir>/mtu: a number and a newline, as Calico's /var/lib/calico/mtu. It outlives a reboot, because
pods that start before felix has looked should get what was right before.
"""

from __future__ import annotations

import os
from pathlib import Path

MODE = 0o644
SMALLEST, LARGEST = 68, 65535
"""What an IPv4 link may have (RFC 791)."""
SAFE_MTU = 1430
"""What pods get while there is no file: fits every encapsulation on an underlay of 1500 bytes."""


def mtu_path(state_dir: str) -> Path:
    """Where the file lies."""
    return Path(state_dir) / "mtu"


def read(state_dir: str) -> int | None:
    """The MTU; None when there is no file, or none that says one."""
    try:
        mtu = int(mtu_path(state_dir).read_text("ascii"))
    except (OSError, ValueError):
        return None
    return mtu if SMALLEST <= mtu <= LARGEST else None


def write(state_dir: str, mtu: int) -> bool:
    """Replace the file at once, unless it says so already; True when it was written. Raises OSError."""
    path = mtu_path(state_dir)
    if read(state_dir) == mtu:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, MODE)
    with os.fdopen(descriptor, "w", encoding="ascii") as handle:
        handle.write(f"{mtu}\n")
        handle.flush()
        os.fsync(handle.fileno())
    fresh.replace(path)
    return True
