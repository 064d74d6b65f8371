"""CHECK: link, alias, addresses, routes and endpoint are as ADD left them, each really looked at."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_interface

from cni.answers import addresses_of
from cni.attachments import Attachments
from cni.errors import CheckFailed, UnknownContainer
from cni.naming import Names
from cni.records import Record
from cni.request import Request
from felix_py.datastore.codec import decode
from felix_py.datastore.model import WorkloadEndpoint
from felix_py.kernel.pod_route import host_prefix


def check(attachments: Attachments, request: Request, names: Names, descriptor: int | None) -> None:
    """Raises CheckFailed with everything that differs; UnknownContainer when nothing is known."""
    namespace = attachments.veths.vet_namespace(descriptor, request.netns)
    record = attachments.records.of_link(names.host_link)
    if record is None or record.handle != names.handle:
        raise UnknownContainer(f"{names.handle}: not attached on this node")
    names = replace(names, mac=record.mac or names.mac)
    standing = attachments.veths.find(names.host_link)
    wanted = attachments.network_of(request, names, record.ip_addresses, standing)
    differences = attachments.veths.differences(wanted, namespace)
    differences += _prev_result_differences(request, record)
    differences += _endpoint_differences(attachments, request, record)
    if differences:
        raise CheckFailed("; ".join(differences))


def _prev_result_differences(request: Request, record: Record) -> list[str]:
    try:
        told = {ip_interface(text).ip for text in addresses_of(request.conf.prev_result or {})}
    except ValueError as error:
        return [f"prevResult: {error}"]
    return [
        f"prevResult: names no address {address}, which the container has"
        for address in record.ip_addresses
        if address not in told
    ]


def _endpoint_differences(attachments: Attachments, request: Request, record: Record) -> list[str]:
    stored = attachments.store.get(record.endpoint.path)
    value = decode(record.endpoint, stored.value) if stored is not None else None
    if not isinstance(value, WorkloadEndpoint):
        return [f"{record.endpoint.path}: missing or invalid in etcd"]
    if value.container_id != request.container_id:
        return [f"{record.endpoint.path}: belongs to container {value.container_id}"]
    if set(value.networks) != {host_prefix(address) for address in record.ip_addresses}:
        return [f"{record.endpoint.path}: has other addresses"]
    return []
