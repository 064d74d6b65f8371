"""Doing something in another network namespace: the calling thread goes there and comes back.

setns(2) changes the calling thread alone; what it opens there, sockets and files below
/proc/sys/net, stays of that namespace for good. Threads of their own are not needed.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CLONE_NEWNET = 0x40000000
OWN = "/proc/thread-self/ns/net"
RUN_NETNS = Path("/run/netns")
"""Where iproute2 mounts namespaces by name."""

_libc = ctypes.CDLL(None, use_errno=True)


@contextmanager
def entered(namespace_fd: int) -> Iterator[None]:
    """The calling thread is in that namespace for the length of the block. Raises OSError.

    A thread that cannot get back would configure a pod where it means the host: the process ends
    there and then (abort), and its supervisor starts it again.
    """
    back = os.open(OWN, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _move(namespace_fd)
        try:
            yield
        finally:
            try:
                _move(back)
            except OSError:
                os.abort()
    finally:
        os.close(back)


@contextmanager
def entered_by_name(name: str | None) -> Iterator[None]:
    """The same for a namespace that iproute2 named; None stays where it is. Raises OSError."""
    if name is None:
        yield
        return
    descriptor = os.open(RUN_NETNS / name, os.O_RDONLY | os.O_CLOEXEC)
    try:
        with entered(descriptor):
            yield
    finally:
        os.close(descriptor)


def _move(namespace_fd: int) -> None:
    if _libc.setns(namespace_fd, CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"setns: {os.strerror(number)}")
