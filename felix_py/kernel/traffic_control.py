"""Driver: keeps pods' links as shaped as wished, with token buckets on them and on ifb links."""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

import structlog

from felix_py.kernel import qdisc_batch as batch
from felix_py.kernel.errors import KernelRefused
from felix_py.kernel.link_batch import delete_link, no_link_local, set_link
from felix_py.kernel.model import Link
from felix_py.kernel.namespace import entered_by_name
from felix_py.kernel.netlink_format import Message
from felix_py.kernel.netlink_wire import NetlinkSocket
from felix_py.kernel.ownership import (
    LINK_PREFIX,
    QOS_ALIAS,
    QOS_HANDLE,
    QOS_LINK_PREFIX,
    QOS_PRIORITY,
)
from felix_py.kernel.pod_side import find_link
from felix_py.kernel.qdisc_dump import matches, read_filter, read_qdisc
from felix_py.kernel.qdisc_model import Bucket, Filter, Qdisc, Shaping

log = structlog.get_logger(__name__)

ETHERNET_HEADER = 14
AS_IT_COMES = Shaping()
GONE = frozenset({errno.ENOENT, errno.ENODEV, errno.EINVAL})
"""What taking away something absent is answered with."""


def queue_link(pod_link: str) -> str:
    """The name of the ifb link on which what a pod sends is queued: 15 characters."""
    return f"{QOS_LINK_PREFIX}{hashlib.sha1(pod_link.encode()).hexdigest()[:12]}"  # noqa: S324


@dataclass(slots=True)
class _Seen:
    """The kernel's qdiscs by link index."""

    roots: dict[int, Qdisc] = field(default_factory=dict)
    ingress: dict[int, Qdisc] = field(default_factory=dict)


class TrafficControl:
    """Compares what is wished with what the kernel tells; writes only what differs. One thread.

    Things that this class is shaped by:
    - a bucket is known as ours by its handle, a filter by its priority, an ifb link by its prefix and
      alias: a fresh process takes all of them over; a root qdisc of another handle is somebody else's
      (a bandwidth plugin's), reported and left alone;
    - a bucket that stands is changed in place, so that nothing queued is lost;
    - what is redirected to an ifb link that is down or gone is dropped: the filter comes last and goes
      first, and a link of ours that is missing shows in the list of links, which netlink announces;
    - the kernel announces no qdisc to us: a sweep reads them all, but only where there are wishes;
    - a pod's link takes its qdiscs along when it goes, its ifb link stays behind and is deleted.
    """

    def __init__(self, netns: str | None = None) -> None:
        """netns: a namespace that iproute2 named, else the calling process's."""
        with entered_by_name(netns):
            self._socket = NetlinkSocket()
        self._wishes: dict[str, Shaping] = {}
        self._settled: object = None
        self.failed: dict[str, str] = {}
        """By pod's link: what is not as wished, for people. Tried again when it is a refusal."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the socket; safe to repeat."""
        self._socket.close()

    def want(self, wishes: Mapping[str, Shaping]) -> None:
        """How each link, by name, is to be shaped; others as it comes. Replaces all wishes."""
        self._wishes = {name: wish for name, wish in wishes.items() if wish != AS_IT_COMES}

    def apply(self, links: Sequence[Link], *, sweep: bool) -> bool:
        """Put right what differs; False: something was refused, try again.

        Raises DumpInterrupted, KernelRefused when the kernel does not tell what stands.
        """
        signature = self._signature(links)
        busy = bool(self._wishes) or any(_is_ours(link) for link in links)
        if signature == self._settled and not (sweep and busy):
            return True
        self.failed = {}
        seen = self._read()
        well = True
        for link in links:
            if link.name.startswith(LINK_PREFIX):
                well = self._put_right(link, seen) and well
        well = self._tidy(links) and well
        self._settled = signature if well else None
        return well

    def _signature(self, links: Iterable[Link]) -> object:
        """All that a decision looks at besides qdiscs."""
        mine = frozenset(
            (link.name, link.index, link.mtu, link.up)
            for link in links
            if link.name in self._wishes or _is_ours(link)
        )
        return self._wishes, mine

    def _read(self) -> _Seen:
        seen = _Seen()
        for qdisc in self._socket.dump("list qdiscs", batch.qdisc_dump_request(), read_qdisc):
            if qdisc.parent == batch.ROOT:
                seen.roots[qdisc.ifindex] = qdisc
            elif qdisc.parent == batch.INGRESS_PARENT:
                seen.ingress[qdisc.ifindex] = qdisc
        return seen

    def _put_right(self, link: Link, seen: _Seen) -> bool:
        wish = self._wishes.get(link.name, AS_IT_COMES)
        try:
            self._shape(link, wish.ingress, seen.roots.get(link.index), link.name)
            if wish.egress is not None:
                self._redirect(link, wish.egress, seen)
            elif link.index in seen.ingress:
                self._undo_redirect(link, seen.ingress[link.index])
        except KernelRefused as refused:
            if refused.errno == errno.ENODEV:
                return True  # the pod's link went meanwhile, and its qdiscs with it
            self.failed[link.name] = str(refused)
            log.warning("traffic control refused", link=link.name, reason=str(refused))
            return False
        return True

    def _shape(
        self, link: Link, bucket: Bucket | None, stands: Qdisc | None, pod_link: str
    ) -> None:
        """The bucket at a link's root, or ours away."""
        handle = stands.handle if stands is not None else 0
        if bucket is None:
            if handle == QOS_HANDLE:
                self._drop(f"unshape {link.name}", batch.drop_bucket(link.index))
            return
        if handle not in {0, QOS_HANDLE}:
            what = f"{stands.kind if stands else '?'} {handle >> 16:x}:"
            self.failed[pod_link] = (
                f"{link.name}: qdisc {what} of somebody else stands at its root; delete it"
            )
            return
        fitted = _fitted(bucket, link.mtu)
        if not matches(fitted, stands.bucket if stands else None):
            message = batch.put_bucket(link.index, fitted, replaces_ours=handle == QOS_HANDLE)
            self._socket.demand(f"shape {link.name}", [message])

    def _redirect(self, link: Link, bucket: Bucket, seen: _Seen) -> None:
        """What the pod sends passes an ifb link with the bucket."""
        queue = self._stand_queue(link)
        self._shape(queue, bucket, seen.roots.get(queue.index), link.name)
        filters = self._filters(link) if link.index in seen.ingress else []
        if link.index not in seen.ingress:
            self._socket.demand(f"ingress of {link.name}", [batch.put_ingress(link.index)])
        if any(each.target and each.priority < QOS_PRIORITY for each in filters):
            self.failed[link.name] = (
                f"{link.name}: a filter of somebody else redirects what comes in; delete it"
            )
        targets = [each.target for each in filters if _is_our_filter(each)]
        if targets == [queue.index]:
            return
        if targets or any(each.priority == QOS_PRIORITY for each in filters):
            self._drop(f"old redirect of {link.name}", batch.drop_redirect(link.index))
        message = batch.put_redirect(link.index, queue.index)
        self._socket.demand(f"redirect of {link.name}", [message])

    def _stand_queue(self, link: Link) -> Link:
        """The pod's ifb link, up and marked."""
        name = queue_link(link.name)
        queue = find_link(self._socket, name)
        if queue is None:
            self._socket.demand(f"create {name}", [batch.create_ifb(name, link.mtu)])
            queue = find_link(self._socket, name)
        if queue is None or not _is_ours(queue):
            raise KernelRefused(f"{name} is no ifb link of ours", errno.EEXIST)
        if not queue.up or not queue.alias:
            self._socket.request([no_link_local(queue.index)])
            marked = set_link(queue.index, alias=f"{QOS_ALIAS}{link.name}", mtu=link.mtu)
            self._socket.demand(f"set up {name}", [marked, set_link(queue.index, up=True)])
        return queue

    def _undo_redirect(self, link: Link, ingress: Qdisc) -> None:
        """Our filter away, and the qdisc when nobody else hangs below it."""
        filters = self._filters(link)
        if any(each.priority == QOS_PRIORITY for each in filters):
            self._drop(f"redirect of {link.name}", batch.drop_redirect(link.index))
            others = any(each.priority != QOS_PRIORITY for each in filters)
            if ingress.kind == "ingress" and not others:
                self._drop(f"ingress of {link.name}", batch.drop_ingress(link.index))

    def _filters(self, link: Link) -> list[Filter]:
        message = batch.filter_dump_request(link.index)
        return self._socket.dump(f"filters of {link.name}", message, read_filter)

    def _tidy(self, links: Iterable[Link]) -> bool:
        """Delete the ifb links that no pod's link needs any more."""
        standing = {link.name for link in links}
        needed = {
            queue_link(name)
            for name, wish in self._wishes.items()
            if wish.egress is not None and name in standing
        }
        well = True
        for link in links:
            if _is_ours(link) and link.name not in needed:
                try:
                    self._drop(f"delete {link.name}", delete_link(link.index))
                except KernelRefused as refused:
                    log.warning("queue left behind", link=link.name, reason=str(refused))
                    well = False
        return well

    def _drop(self, doing: str, message: Message) -> None:
        """Take something away; absent is fine."""
        try:
            self._socket.demand(doing, [message])
        except KernelRefused as refused:
            if refused.errno not in GONE:
                raise


def _is_ours(link: Link) -> bool:
    """By its kind, prefix and alias; one whose maker died half-way has no alias yet."""
    return (
        link.kind == "ifb"
        and link.name.startswith(QOS_LINK_PREFIX)
        and (not link.alias or link.alias.startswith(QOS_ALIAS))
    )


def _is_our_filter(each: Filter) -> bool:
    return each.priority == QOS_PRIORITY and each.target is not None


def _fitted(bucket: Bucket, mtu: int) -> Bucket:
    """A bucket through which a whole packet fits."""
    packet = mtu + ETHERNET_HEADER
    least = max(bucket.min_burst, packet) if bucket.peak_rate else 0
    return replace(
        bucket,
        burst=max(bucket.burst, packet),
        limit=max(bucket.limit, packet),
        min_burst=least,
    )
