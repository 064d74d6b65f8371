"""Both ends of a pod's link: the other end found without guessing, and one MTU for the two.

The kernel says of a veth which index its other end has and in which namespace (IFLA_LINK,
IFLA_LINK_NETNSID), and of an open namespace which number it has here (RTM_GETNSID). A path that a
runtime once told can lead elsewhere by now; it is followed only if these numbers agree.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from felix_py.kernel.errors import KernelRefused
from felix_py.kernel.link_batch import set_link
from felix_py.kernel.link_dump import BODY, link_request, read_link
from felix_py.kernel.model import Link
from felix_py.kernel.netlink_format import (
    AF_UNSPEC,
    GETLINK,
    IFINFO,
    S32,
    U32,
    Message,
    attributes,
    number,
)
from felix_py.kernel.netlink_wire import NetlinkSocket
from felix_py.kernel.pod_side import pod_socket

IFLA_LINK, IFLA_LINK_NETNSID = 5, 37
GETNSID = 90
NETNSA_NSID, NETNSA_FD = 1, 3
RTGENMSG_BYTES = 4
"""rtgenmsg: the family, padded."""
NAMED = Path("/run/netns")
"""Where iproute2 and most runtimes keep namespaces."""


@dataclass(frozen=True, slots=True)
class End:
    """One end of a pair: the link, the index of the other end, and its namespace's number here.

    `namespace` None: the other end is in the same namespace.
    """

    link: Link
    peer: int
    namespace: int | None


@dataclass(frozen=True, slots=True)
class PairMtu:
    """The MTU of both ends."""

    host: int
    pod: int


class PodPair:
    """A pod's link with both ends open; made by `pair_of`."""

    def __init__(self, here: NetlinkSocket, inside: NetlinkSocket, ends: tuple[End, End]) -> None:
        self._here, self._inside = here, inside
        self._host, self._pod = ends

    @property
    def mtu(self) -> PairMtu:
        """As both ends had it when they were looked at."""
        return PairMtu(self._host.link.mtu, self._pod.link.mtu)

    @property
    def pod_link(self) -> Link:
        """The pod's end, as it was when it was looked at."""
        return self._pod.link

    @property
    def inside(self) -> NetlinkSocket:
        """A socket of the pod's namespace, to look at it."""
        return self._inside

    def set_mtu(self, mtu: int) -> None:
        """One MTU for both ends; when the second refuses, the first is put back. Raises KernelRefused.

        A smaller one goes to the pod first, so that it does not send what its host would drop; a larger
        one to the host first.
        """
        host = (self._here, self._host.link)
        pod = (self._inside, self._pod.link)
        first, second = (host, pod) if mtu > self._pod.link.mtu else (pod, host)
        _set(*first, mtu)
        try:
            _set(*second, mtu)
        except KernelRefused:
            _set(*first, first[1].mtu)
            raise


@contextmanager
def pair_of(host_link: str, alias: str, netns: str) -> Iterator[PodPair]:
    """The pair whose host side has this name and alias; `netns` is tried first, then all named ones.

    Raises KernelRefused: ENODEV when there is no such link, ESRCH when no namespace is the peer's.
    """
    with NetlinkSocket() as here:
        host = _end(here, f"find link {host_link}", link_request(host_link))
        if host.link.alias != alias or host.link.kind != "veth" or host.namespace is None:
            raise KernelRefused(f"find the pod's link {host_link}", errno.ENODEV)
        with _opened(here, host.namespace, _candidates(netns)) as descriptor:
            if descriptor is None:
                raise KernelRefused(f"find the pod's namespace of {host_link}", errno.ESRCH)
            with pod_socket(descriptor) as inside:
                pod = _end(inside, f"find the other end of {host_link}", _by_index(host.peer))
                if pod.peer != host.link.index or pod.link.kind != "veth":
                    raise KernelRefused(f"find the other end of {host_link}", errno.ENODEV)
                yield PodPair(here, inside, (host, pod))


def namespace_number(here: NetlinkSocket, descriptor: int) -> int | None:
    """The number that this namespace gives to an open one; None when it gives none."""
    message = Message(GETNSID, 0, bytes(RTGENMSG_BYTES) + number(NETNSA_FD, descriptor))
    try:
        data = here.ask("number of a namespace", [message])
    except KernelRefused:
        return None  # what the path led to is no network namespace
    found = dict(attributes(data, BODY + RTGENMSG_BYTES))
    value: int = S32.unpack(found[NETNSA_NSID])[0] if NETNSA_NSID in found else -1
    return value if value >= 0 else None


@contextmanager
def _opened(here: NetlinkSocket, wanted: int, paths: Iterable[Path]) -> Iterator[int | None]:
    for path in paths:
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError:
            continue
        try:
            if namespace_number(here, descriptor) == wanted:
                yield descriptor
                return
        finally:
            os.close(descriptor)
    yield None


def _candidates(netns: str) -> Iterator[Path]:
    if netns:
        yield Path(netns)
    if NAMED.is_dir():
        yield from sorted(NAMED.iterdir())


def _by_index(index: int) -> Message:
    return Message(GETLINK, 0, IFINFO.pack(AF_UNSPEC, 0, index, 0, 0))


def _end(opened: NetlinkSocket, doing: str, request: Message) -> End:
    data = opened.ask(doing, [request])
    found = dict(attributes(data, BODY + IFINFO.size))
    namespace = found.get(IFLA_LINK_NETNSID)
    return End(
        link=read_link(data, 0, len(data)),
        peer=U32.unpack(found[IFLA_LINK])[0] if IFLA_LINK in found else 0,
        namespace=None if namespace is None else S32.unpack(namespace)[0],
    )


def _set(opened: NetlinkSocket, link: Link, mtu: int) -> None:
    opened.demand(f"MTU {mtu} of link {link.name}", [set_link(link.index, mtu=mtu)])
