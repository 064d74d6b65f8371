"""Per-link settings as files below /proc/sys/net, of the namespace the calling thread is in.

A value is read before it is written: writing forwarding, even the value that stands, makes the
kernel go over every link and route under its big lock.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from felix_py.kernel.errors import KernelRefused
from felix_py.kernel.model import LinkSettings

ROOT = "/proc/sys/net/"
MOUNTED = "/host/proc/sys/net/"
"""In a container without privileges /proc/sys is read-only. The same files, mounted here as well, can be
written; they are always those of the namespace that the calling thread is in, too."""
NUMBER_BYTES = 32
"""More than any of these files holds."""
FILES = {
    "forwarding4": "ipv4/conf/{}/forwarding",
    "proxy_arp": "ipv4/conf/{}/proxy_arp",
    "rp_filter": "ipv4/conf/{}/rp_filter",
    "forwarding6": "ipv6/conf/{}/forwarding",
    "route_localnet": "ipv4/conf/{}/route_localnet",
    "proxy_delay": "ipv4/neigh/{}/proxy_delay",
    "proxy_ndp": "ipv6/conf/{}/proxy_ndp",
    "accept_ra": "ipv6/conf/{}/accept_ra",
}
"""The file of each field of LinkSettings; one is absent where its family is not built in."""


def wished(settings: LinkSettings) -> Iterator[tuple[str, int]]:
    """(field, value) of every setting that is not None, in the order of FILES."""
    for field in FILES:
        value = getattr(settings, field)
        if value is not None:
            yield field, int(value)


def read(name: str) -> LinkSettings:
    """All settings of a link (or `all`, `default`); None for a file that is not there."""
    found = {field: _read(_path(pattern, name)) for field, pattern in FILES.items()}
    return LinkSettings(
        forwarding4=_switch(found["forwarding4"]),
        proxy_arp=_switch(found["proxy_arp"]),
        rp_filter=found["rp_filter"],
        forwarding6=_switch(found["forwarding6"]),
        route_localnet=_switch(found["route_localnet"]),
        proxy_delay=found["proxy_delay"],
        proxy_ndp=_switch(found["proxy_ndp"]),
        accept_ra=found["accept_ra"],
    )


def write(name: str, settings: LinkSettings) -> None:
    """Write what is not None and differs. Raises KernelRefused: ENODEV when the link is gone."""
    for field, value in wished(settings):
        path = _path(FILES[field], name)
        if _read(path) == value:
            continue
        try:
            _write(path, value)
        except OSError as error:
            number = errno.ENODEV if error.errno == errno.ENOENT else error.errno or errno.EIO
            raise KernelRefused(f"write {path}", number) from error


def write_if_there(pattern: str, name: str, value: int) -> None:
    """Write one value of a link unless it stands already; an absent file is fine.

    `pattern` as in FILES. Raises KernelRefused.
    """
    file = _path(pattern, name)
    present = _read(file)
    if present is None or present == value:
        return
    try:
        _write(file, value)
    except OSError as error:
        raise KernelRefused(f"write {file}", error.errno or errno.EIO) from error


def _path(pattern: str, name: str) -> str:
    """The file of a link. A dot in its name (a VLAN) is kept; a slash cannot be in one."""
    if "/" in name or name in {"", ".", ".."}:
        raise KernelRefused(f"settings of link {name!r}", errno.EINVAL)
    return _root() + pattern.format(name)


@cache
def _root() -> str:
    return MOUNTED if Path(MOUNTED, "ipv4").is_dir() else ROOT


def _switch(value: int | None) -> bool | None:
    return None if value is None else bool(value)


def _read(path: str) -> int | None:
    """A number from a file; None when it is not there, or not a number."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return int(os.read(descriptor, NUMBER_BYTES))
    except (OSError, ValueError):
        return None
    finally:
        os.close(descriptor)


def _write(path: str, value: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, b"%d\n" % value)
    finally:
        os.close(descriptor)
