"""ADD: one transaction in etcd, then link and route, then the answer; each step with its undo.

Dying on any line leaves what the next ADD completes or the runtime's DEL removes: the endpoint and
handle name the container, the link's alias is the handle, the record was written before the link.
"""

from __future__ import annotations

import uuid
from contextlib import ExitStack

import structlog

from cni.answers import Attachment
from cni.attachments import (
    ASSIGN_SECONDS,
    RELEASE_SECONDS,
    Attachments,
    is_own_link,
    record_of,
)
from cni.endpoint import Birth, assign_request
from cni.errors import LinkTaken
from cni.naming import Names
from cni.request import Request
from cni.veth import PodNetwork
from felix_py.kernel.model import Link
from felix_py.runtime.errors import FelixPyError, TransientError
from ipam.requests import ReleaseRequest

log = structlog.get_logger(__name__)


def add(
    attachments: Attachments, request: Request, names: Names, descriptor: int | None
) -> Attachment:
    """Attach the container. Repeating it gives the same result. Errors: cni, ipam, store, kernel."""
    namespace = attachments.veths.vet_namespace(descriptor, request.netns)
    _refuse_second_interface(attachments, request, names)
    standing = _look_at_link(attachments, request, names)
    attachments.settle(names.handle)
    birth = Birth(str(uuid.uuid4()), attachments.clock.wall())
    lease = attachments.addresses.assign(
        assign_request(request, names, attachments.node, birth), ASSIGN_SECONDS
    )
    with ExitStack() as undo:
        if lease.fresh:
            undo.callback(_give_back, attachments, request, names)
        wanted = attachments.network_of(
            request, names, tuple(leased.address for leased in lease.addresses), standing
        )
        if not _stands(attachments, wanted, standing, namespace):
            _build(attachments, (request, names, wanted), (standing, namespace), undo)
        undo.pop_all()
    return Attachment(
        host_link=names.host_link,
        ifname=request.ifname,
        mac=wanted.mac,
        mtu=wanted.mtu,
        netns=request.netns,
        addresses=wanted.addresses,
    )


def _build(
    attachments: Attachments,
    what: tuple[Request, Names, PodNetwork],
    where: tuple[Link | None, int],
    undo: ExitStack,
) -> None:
    (request, names, wanted), (standing, namespace) = what, where
    if standing is not None:
        attachments.veths.remove(standing.index)
        before = attachments.records.of_link(names.host_link)
        attachments.veths.forget_connections(before.ip_addresses if before else ())
    fixed = attachments.mtus.fixed(request)
    attachments.records.write(record_of(request, names, wanted.addresses, fixed))
    undo.callback(attachments.records.remove, names.handle)
    attachments.veths.build(wanted, namespace, undo)


def _stands(
    attachments: Attachments, wanted: PodNetwork, standing: Link | None, namespace: int
) -> bool:
    """A repeated ADD finds everything there; only a missing host route is put back in place."""
    if standing is None or standing.alias != wanted.handle:
        return False
    record = attachments.records.of_handle(wanted.handle)
    if record is None or record.ip_addresses != wanted.addresses:
        return False
    attachments.veths.put_routes(wanted, standing.index)
    return not attachments.veths.differences(wanted, namespace)


def _refuse_second_interface(attachments: Attachments, request: Request, names: Names) -> None:
    """A handle holds one attachment's addresses, so a network is attached to a container once."""
    record = attachments.records.of_handle(names.handle)
    if record is not None and record.ifname != request.ifname:
        raise LinkTaken(
            f"{request.conf.name} is attached to this container already, as {record.ifname}; "
            "use another network name for a second interface"
        )


def _look_at_link(attachments: Attachments, request: Request, names: Names) -> Link | None:
    """The link at our name, if it is ours or may be replaced; before anything is changed.

    An older sandbox of the same pod of Kubernetes may be replaced: the kubelet runs one at a time,
    and the transaction that follows makes the endpoint name the new container.
    """
    link = attachments.veths.find(names.host_link)
    record, pod = attachments.records.of_link(names.host_link), request.pod
    if link is None or is_own_link(link, names.handle, record):
        return link
    if record is None or record.handle != (link.alias or record.handle):
        raise LinkTaken(
            f"{names.host_link}: a link that felix-cni has no record of stands there "
            f"(alias {link.alias!r}); delete it if nothing uses it"
        )
    if pod is None or (record.namespace, record.pod) != (pod.namespace, pod.name):
        raise LinkTaken(f"{names.host_link}: belongs to container {record.container_id}")
    return link


def _give_back(attachments: Attachments, request: Request, names: Names) -> None:
    """Undo the transaction; what etcd cannot take now is kept as a pending DEL."""
    release = ReleaseRequest(names.handle, request.container_id, names.endpoint)
    try:
        attachments.addresses.release(release, RELEASE_SECONDS)
    except TransientError:
        attachments.pending.add(release)
    except FelixPyError as error:
        log.warning(
            "addresses of a failed ADD are left to DEL", handle=names.handle, why=str(error)
        )
