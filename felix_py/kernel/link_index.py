"""A link's index by its name, and whether there is one, without the kernel's big lock.

A netlink request for one link waits for RTNL behind every link that is being created or deleted;
SIOCGIFINDEX reads under RCU and waits for nobody (net/core/dev_ioctl.c).
"""

from __future__ import annotations

import socket


def index_of(name: str) -> int | None:
    """The index in the calling thread's namespace; None when there is no such link."""
    try:
        return socket.if_nametoindex(name)
    except OSError:
        return None


def is_there(index: int) -> bool:
    """Whether the calling thread's namespace has a link of this index."""
    try:
        socket.if_indextoname(index)
    except OSError:
        return False
    return True
