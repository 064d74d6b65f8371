"""What the commands work with, and the questions that more than one of them asks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from cni.endpoint import own_labels, profiles
from cni.facts import spec_of
from cni.mtu import NodeMtu
from cni.naming import Names
from cni.pending import PendingDels
from cni.records import Record, Records
from cni.request import Request
from cni.veth import PodNetwork, PodVeths
from felix_py.datastore.model import HandleId, IPAddress, NodeName
from felix_py.datastore.store import Store
from felix_py.kernel.model import Link
from felix_py.runtime.clock import Clock
from ipam.requests import AssignRequest, Lease, Released, ReleaseRequest

ASSIGN_SECONDS = 15.0
RELEASE_SECONDS = 5.0
"""How long a command waits for the allocator: then ADD says "try again later", DEL stays pending."""


class Addresses(Protocol):
    """What the commands need of ipam.allocator.Allocator."""

    def assign(self, request: AssignRequest, timeout_seconds: float) -> Lease:
        """Addresses and endpoint in one transaction; the same ones for the same handle."""
        ...

    def release(self, request: ReleaseRequest, timeout_seconds: float) -> Released:
        """Give back all that a handle holds; nothing is success."""
        ...


@dataclass(frozen=True, slots=True)
class Attachments:
    """This node's attachments: etcd's side, the kernel's side and what is kept on disk of them."""

    node: NodeName
    addresses: Addresses
    store: Store
    veths: PodVeths
    records: Records
    pending: PendingDels
    clock: Clock
    mtus: NodeMtu

    def network_of(
        self,
        request: Request,
        names: Names,
        addresses: tuple[IPAddress, ...],
        standing: Link | None,
    ) -> PodNetwork:
        """What the pod's network shall be with these addresses.

        A link that stands keeps the MTU it was made with, unless somebody fixed another: what felix
        finds right may have changed since, and a repeated ADD or CHECK must not break a running pod.
        """
        kept = standing.mtu if standing is not None and standing.alias == names.handle else 0
        return PodNetwork(
            handle=names.handle,
            host_link=names.host_link,
            ifname=request.ifname,
            mac=names.mac,
            mtu=self.mtus.fixed(request) or kept or self.mtus.found(),
            addresses=addresses,
        )

    def settle(self, handle: HandleId) -> None:
        """Release what a pending DEL still holds. Raises TransientError: it stays pending."""
        pending = self.pending.get(handle)
        if pending is None:
            return
        self.addresses.release(pending.release, RELEASE_SECONDS)
        self.pending.remove(handle)


def is_own_link(link: Link, handle: HandleId, record: Record | None) -> bool:
    """Whether this link is the handle's: by its alias, or by its record while the alias is not set.

    The kernel takes no alias in the request that creates a link, so a server that dies in between
    leaves one without; the record was written before.
    """
    if link.alias:
        return link.alias == handle
    return record is not None and record.handle == handle


def record_of(
    request: Request, names: Names, addresses: tuple[IPAddress, ...], mtu: int = 0
) -> Record:
    """The record that is written before the link; `mtu`: fixed by configuration, else 0."""
    pod, known = request.pod, spec_of(request.facts, addresses)
    return Record(
        host_link=names.host_link,
        handle=names.handle,
        container_id=request.container_id,
        ifname=request.ifname,
        namespace=pod.namespace if pod else "",
        pod=pod.name if pod else "",
        addresses=tuple(str(address) for address in addresses),
        endpoint_namespace=names.endpoint.namespace,
        endpoint_name=names.endpoint.name,
        mac=names.mac,
        profiles=tuple(profiles(request)),
        labels=own_labels(request),
        generate_name=request.facts.generate_name if request.facts else "",
        spec={name: value for name, value in known.items() if value is not None},
        netns=request.netns,
        outside=request.conf.passes_ipam,
        mtu=mtu,
    )
