"""What is attached on this node right now, as requests by which a store that lost it takes it back.

The kernel says what lives: a link of ours whose alias is the handle of its record. A link goes before
its addresses are released, so nothing that is being deleted is asked for.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from cni.errors import TryAgain
from cni.naming import pod_mac
from cni.records import Record, Records
from felix_py.datastore.codec import decode, render_new, rewrite
from felix_py.datastore.model import HandleId, IPAddress, NodeName, WorkloadEndpoint
from felix_py.datastore.store import KeyValue
from felix_py.kernel.errors import KernelRefused
from felix_py.kernel.pod_route import host_prefix
from felix_py.kernel.port import Kernel
from felix_py.runtime.clock import Clock
from felix_py.runtime.errors import RefusedError
from ipam.recovery_papers import Claim
from ipam.requests import AssignRequest, EndpointDraft, timestamp


@dataclass(frozen=True, slots=True)
class Living:
    """Called by the allocator's thread."""

    node: NodeName
    records: Records
    kernel: Kernel
    clock: Clock

    def __call__(self) -> list[AssignRequest]:
        """A request for each attachment whose link stands. Raises TransientError: ask again."""
        at = self.clock.wall()
        return [request_for(record, self.node, at) for record in self._standing()]

    def claims(self) -> list[Claim]:
        """The same for who judges a store that went back. Raises TransientError."""
        return [
            Claim(
                HandleId(record.handle),
                record.endpoint.path,
                record.container_id,
                () if record.outside else record.ip_addresses,
            )
            for record in self._standing()
        ]

    def handles(self) -> frozenset[HandleId]:
        """Of the same attachments, and of those that were only begun. Raises TransientError."""
        return frozenset(HandleId(record.handle) for record in self.records.all())

    def _standing(self) -> list[Record]:
        try:
            aliases = {link.name: link.alias for link in self.kernel.links()}
        except KernelRefused as refused:
            raise TryAgain(f"what lives here cannot be listed: {refused}") from refused
        return [
            record
            for record in self.records.all()
            if aliases.get(record.host_link) == record.handle
        ]


def request_for(record: Record, node: NodeName, at: datetime) -> AssignRequest:
    """What is asked of the allocator for an attachment that lives."""
    attributes = {"node": str(node), "timestamp": timestamp(at)}
    if record.pod:
        attributes |= {"namespace": record.namespace, "pod": record.pod}
    return AssignRequest(
        handle_id=HandleId(record.handle),
        attributes=attributes,
        addresses=record.ip_addresses,
        endpoint=EndpointDraft(record.endpoint, _renderer(record, node, at)),
        lives=True,
        outside=record.outside,
    )


def _renderer(
    record: Record, node: NodeName, at: datetime
) -> Callable[[tuple[IPAddress, ...], KeyValue | None], bytes]:
    def render(addresses: tuple[IPAddress, ...], stored: KeyValue | None) -> bytes:
        if stored is not None and _is_this(stored, record):
            return stored.value
        spec, labels = _spec(record, node, addresses), _labels(record)
        if stored is not None:
            try:
                return rewrite(stored.value, spec=spec, labels=labels)
            except RefusedError:
                pass  # what stands there is no object at all: it counts as absent
        return render_new(
            record.endpoint,
            spec,
            uid=str(uuid.uuid4()),
            created_at=f"{at:%Y-%m-%dT%H:%M:%SZ}",
            labels=labels,
            generate_name=record.generate_name,
        )

    return render


def _is_this(stored: KeyValue, record: Record) -> bool:
    """Whether the endpoint that stands is this attachment's, whatever else it says."""
    value = decode(record.endpoint, stored.value)
    return (
        isinstance(value, WorkloadEndpoint)
        and value.container_id == record.container_id
        and set(value.networks) == {host_prefix(address) for address in record.ip_addresses}
    )


def _spec(record: Record, node: NodeName, addresses: tuple[IPAddress, ...]) -> dict[str, object]:
    network = record.handle.rpartition(".")[0]
    spec: dict[str, object] = {
        "orchestrator": _orchestrator(record),
        "node": node,
        "containerID": record.container_id,
        "endpoint": record.ifname,
        "ipNetworks": [f"{address}/{address.max_prefixlen}" for address in addresses],
        "profiles": list(record.profiles) or [network],
        "interfaceName": record.host_link,
        "mac": record.mac or pod_mac(HandleId(record.handle), record.ifname),
    }
    if record.pod:
        spec["pod"] = record.pod
    return {**spec, **record.spec}


def _labels(record: Record) -> dict[str, str]:
    return {
        **record.labels,
        "projectcalico.org/namespace": record.endpoint_namespace,
        "projectcalico.org/orchestrator": _orchestrator(record),
    }


def _orchestrator(record: Record) -> str:
    return "k8s" if record.pod else "cni"
