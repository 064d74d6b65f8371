"""From root to an ordinary user who keeps one capability: CAP_NET_BIND_SERVICE, for port 179.

Standard library alone: the launcher uses it between fork and exec.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import signal
from dataclasses import dataclass

CAP_NET_BIND_SERVICE = 10
PR_SET_PDEATHSIG = 1
PR_SET_KEEPCAPS = 8
PR_SET_NO_NEW_PRIVS = 38
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
CAPABILITY_VERSION_3 = 0x20080522

_libc = ctypes.CDLL(None, use_errno=True)


class _CapHeader(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _CapData(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


@dataclass(frozen=True, slots=True)
class User:
    """Numeric identity of an unprivileged process."""

    uid: int
    gid: int


def find_user(text: str) -> User:
    """`name`, `uid` or `uid:gid`; a number without a group uses itself as group.

    Raises ValueError for an unknown name, a malformed number and for root.
    """
    first, _, second = text.partition(":")
    if first.isdigit():
        user = User(int(first), int(second) if second.isdigit() else int(first))
    else:
        try:
            entry = pwd.getpwnam(first)
        except KeyError as error:
            raise ValueError(f"user {first!r} does not exist; give a name or a number") from error
        user = User(entry.pw_uid, int(second) if second.isdigit() else entry.pw_gid)
    if user.uid == 0 or user.gid == 0:
        raise ValueError("user: ExaBGP parses network input and must not run as root")
    return user


def become(user: User) -> None:
    """This process becomes that user, for good, with only CAP_NET_BIND_SERVICE, also after exec.

    Raises OSError. Ambient capabilities survive exec, and no-new-privileges leaves them alone.
    """
    _prctl(PR_SET_KEEPCAPS, 1)
    os.setgroups([])
    os.setresgid(user.gid, user.gid, user.gid)
    os.setresuid(user.uid, user.uid, user.uid)
    only = 1 << CAP_NET_BIND_SERVICE
    header = _CapHeader(CAPABILITY_VERSION_3, 0)
    data = (_CapData * 2)(_CapData(only, only, only), _CapData(0, 0, 0))
    if _libc.capset(ctypes.byref(header), ctypes.byref(data)) != 0:
        raise OSError(ctypes.get_errno(), "capset")
    _prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_NET_BIND_SERVICE)
    _prctl(PR_SET_NO_NEW_PRIVS, 1)


def die_with_parent(parent: int) -> None:
    """SIGKILL for this process when its parent ends; call after `become`, which would clear it."""
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def _prctl(option: int, *arguments: int) -> None:
    values = [ctypes.c_ulong(value) for value in (*arguments, 0, 0, 0, 0)[:4]]
    if _libc.prctl(option, *values) != 0:
        raise OSError(ctypes.get_errno(), f"prctl {option}")
