"""DEL: device and connections gone, then one transaction, then the answer. Absent is fine.

With etcd away, or refusing (no space, no permission), the release is on disk (fsync) before the answer
and settled later (pending.py): a runtime that is told of a failure keeps the pod, and repairs nothing.
"""

from __future__ import annotations

import structlog

from cni.attachments import RELEASE_SECONDS, Attachments, is_own_link
from cni.naming import Names
from cni.request import Request
from felix_py.datastore.errors import StoreRefused
from felix_py.runtime.errors import TransientError
from ipam.requests import ReleaseRequest

log = structlog.get_logger(__name__)


def delete(attachments: Attachments, request: Request, names: Names) -> None:
    """Detach the container: nothing of another container, of whatever age, is touched."""
    record = attachments.records.of_handle(names.handle)
    if record is not None and record.ifname != request.ifname:
        return  # that interface was never attached; the handle belongs to the other one
    host_link = record.host_link if record else names.host_link
    link = attachments.veths.find(host_link)
    if link is not None and is_own_link(link, names.handle, record):
        attachments.veths.remove(link.index)
    if record is not None:
        attachments.veths.forget_connections(record.ip_addresses)
    endpoint = record.endpoint if record else names.endpoint
    _release(attachments, ReleaseRequest(names.handle, request.container_id, endpoint))
    attachments.records.remove(names.handle)


def _release(attachments: Attachments, release: ReleaseRequest) -> None:
    pending = attachments.pending
    if pending.stalled:
        pending.add(release)
        return
    try:
        attachments.addresses.release(release, RELEASE_SECONDS)
    except (TransientError, StoreRefused) as error:
        pending.add(release)
        pending.stalled = isinstance(error, TransientError)
        log.warning("DEL stays pending", handle=release.handle_id, why=str(error))
        return
    pending.remove(release.handle_id)
