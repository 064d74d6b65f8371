"""Implements port.PodLinks: what the CNI server does to pods' links, CNI's hot path.

Everything is hand-packed and sent in as few requests as the kernel allows: at sixteen pods at
once its RTNL lock is the limit, not we.
"""

from __future__ import annotations

import errno
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from ipaddress import IPv6Interface

from felix_py.kernel import conntrack, sysctl
from felix_py.kernel.errors import KernelRefused
from felix_py.kernel.link_batch import (
    SCOPE_LINK,
    create_veth,
    delete_link,
    no_link_local,
    put_address,
    set_link,
)
from felix_py.kernel.link_index import index_of, is_there
from felix_py.kernel.link_reaper import LinkReaper
from felix_py.kernel.model import (
    Address,
    IPAddress,
    Link,
    LinkSettings,
    PodSpec,
    Route,
    VethSpec,
)
from felix_py.kernel.netlink_wire import NetlinkSocket
from felix_py.kernel.ownership import ALIAS_MAX_BYTES
from felix_py.kernel.pod_side import (
    configurable,
    find_link,
    inspect,
    pod_messages,
    pod_socket,
)

GATEWAY6 = IPv6Interface("fe80::ecee:eeff:feee:eeee/64")
"""What a pod has as its IPv6 gateway: made of HOST_MAC, the same on every host side."""
NO_IPV6 = frozenset({errno.EAFNOSUPPORT, errno.EOPNOTSUPP, errno.EACCES, errno.EPERM})
"""IPv6 is not built in, or switched off (disable_ipv6): the host side goes without."""


class NetlinkPodLinks:
    """Implements port.PodLinks for the calling process's namespace.

    Each call borrows a socket for itself: there are as many as threads were ever at work at once.
    """

    def __init__(self) -> None:
        self._idle: list[NetlinkSocket] = []
        self._closed = False
        self._lock = threading.Lock()
        self._reaper = LinkReaper(self._borrowed, is_there)

    def close(self) -> None:
        """Let go of the sockets; safe to repeat. No caller may be at work; a socket whose request the
        kernel has not answered yet is let go of with the answer."""
        with self._lock:
            self._closed = True
            while self._idle:
                self._idle.pop().close()

    def create(self, spec: VethSpec, pod_namespace_fd: int) -> int:
        """Create the pair, peer inside the namespace, host side up with its settings; its index.

        Raises KernelRefused; EEXIST when the host name or the pod's name is taken. Whatever fails
        after the pair was made takes it away again. Dying in between leaves a pair without alias:
        the record that the caller wrote before tells whose it is.
        """
        if len(spec.alias.encode()) > ALIAS_MAX_BYTES:
            raise KernelRefused(f"alias of link {spec.host_name}", errno.ENAMETOOLONG)
        doing = f"create link {spec.host_name}"
        with self._borrowed() as opened:
            opened.demand(doing, [create_veth(spec, pod_namespace_fd)])
            index = index_of(spec.host_name)
            if index is None:
                raise KernelRefused(doing, errno.ENODEV)
            try:
                _set_up(opened, spec, index)
            except BaseException:
                opened.request([delete_link(index)])
                raise
            return index

    def configure_pod(self, spec: PodSpec, pod_namespace_fd: int) -> None:
        """Bring the pod's side up with addresses, neighbours and routes.

        Safe to repeat. Raises KernelRefused, ENODEV when the link is not there.
        """
        with configurable(pod_namespace_fd, spec) as (opened, index):
            opened.demand(f"configure pod's link {spec.pod_name}", pod_messages(spec, index))

    def inspect_pod(
        self, pod_name: str, pod_namespace_fd: int
    ) -> tuple[Link | None, tuple[Address, ...], tuple[Route, ...]]:
        """The pod's link (None: not there), its addresses and its routes. Raises KernelRefused."""
        with pod_socket(pod_namespace_fd) as opened:
            return inspect(opened, pod_name)

    def find(self, host_name: str) -> Link | None:
        """The host side by name, None when there is no such link. Raises KernelRefused."""
        if index_of(host_name) is None:
            return None
        with self._borrowed() as opened:
            return find_link(opened, host_name)

    def delete(self, indexes: Sequence[int]) -> None:
        """Delete links, those of threads that delete at the same time in one request.

        They are closed, their routes are gone and nobody finds them when this returns. Absent is
        fine. Whether a link is ours (its alias) the caller has checked with find.
        Raises KernelRefused.
        """
        self._reaper.delete(indexes)

    def forget_connections(self, addresses: Sequence[IPAddress]) -> None:
        """Drop the conntrack entries of these addresses; absent is fine. Raises KernelRefused."""
        conntrack.forget_connections(addresses)

    @contextmanager
    def _borrowed(self) -> Iterator[NetlinkSocket]:
        """A socket that nobody else uses meanwhile."""
        with self._lock:
            opened = self._idle.pop() if self._idle else None
        opened = opened or NetlinkSocket()
        try:
            yield opened
        finally:
            with self._lock:
                if self._closed:
                    opened.close()
                else:
                    self._idle.append(opened)


def _set_up(opened: NetlinkSocket, spec: VethSpec, index: int) -> None:
    """Mark it, let it forward and answer ARP for everything, then bring it up.

    Before it is up it must neither make an IPv6 address by itself nor believe a pod's router
    advertisements: a pod could become the host's default gateway.
    """
    settings = LinkSettings(forwarding4=True, proxy_arp=True, rp_filter=spec.rp_filter)
    sysctl.write_if_there("ipv6/conf/{}/accept_ra", spec.host_name, 0)
    messages = [
        set_link(index, alias=spec.alias, settings=settings),
        no_link_local(index),
        set_link(index, up=True),
        put_address(index, GATEWAY6, SCOPE_LINK),
    ]
    marked, _, up, gateway = opened.request(messages)
    for refusal in (marked, up):
        if refusal is not None:
            raise KernelRefused(f"set up link {spec.host_name}", refusal.errno, refusal.why)
    if gateway is not None and gateway.errno not in NO_IPV6:
        raise KernelRefused(f"address {GATEWAY6} on {spec.host_name}", gateway.errno, gateway.why)
