"""Addresses of Services of type LoadBalancer: blocks of a virtual owner, `virtual:load-balancer`.

Reference: Calico v3.32.1 `kube-controllers/pkg/controllers/loadbalancer` (attributes) and
`libcalico-go/lib/ipam/ipam.go` (the owner without a Node).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from felix_py.datastore.keys import IPAMConfigKey, affinity_prefix, kind_prefix
from felix_py.datastore.model import IPAddress, Kind, NodeName, PoolUse
from felix_py.datastore.store import Store
from ipam.choose import moment_of
from ipam.decide import assign, release
from ipam.errors import BadRequest, Frozen
from ipam.office import Office
from ipam.reader import Reader
from ipam.requests import AssignRequest, Lease, Released, ReleaseRequest, timestamp
from ipam.service import Service
from ipam.view import View
from ipam.watched import CLUSTER

LOAD_BALANCER = NodeName("load-balancer")


@dataclass(frozen=True, slots=True)
class ServiceAsk:
    """What a Service wants: one address of each family, from named pools, or these very addresses."""

    service: Service
    families: tuple[int, ...] = (4,)
    pools: tuple[str, ...] = ()
    addresses: tuple[IPAddress, ...] = ()


class ServiceAddresses:
    """Assigns and releases, one transaction each; several of them may run at once."""

    def __init__(self, store: Store, now: Callable[[], datetime]) -> None:
        """now: wall time, UTC."""
        self._office, self._now = Office(store, _look), now

    def assign(self, ask: ServiceAsk) -> Lease:
        """What the Service holds afterwards; asked again, the same. Raises ipam.errors, StoreAway."""
        for field, value in (("namespace", ask.service.namespace), ("name", ask.service.name)):
            if not value:
                raise BadRequest(f"service {field}: must not be empty")
        if not ask.service.uid:
            raise BadRequest(f"service {ask.service.namespace}/{ask.service.name}: uid is missing")
        at = self._now()
        request = AssignRequest(
            ask.service.handle_id,
            {
                "service": ask.service.name,
                "namespace": ask.service.namespace,
                "type": PoolUse.LOAD_BALANCER.value,
                "timestamp": timestamp(at),
            },
            families=ask.families,
            pools=ask.pools,
            addresses=ask.addresses,
            use=PoolUse.LOAD_BALANCER,
        )
        return self._office.decide(lambda draft: assign(draft, request, moment_of(at)))

    def release(self, service: Service) -> Released:
        """Give back all that it holds; nothing held is success. Raises as assign does."""
        return self._office.decide(lambda draft: release(draft, ReleaseRequest(service.handle_id)))


def _look(store: Store) -> tuple[View, Reader]:
    """All that a node's watch would have told, read now. Raises Frozen."""
    view = View(LOAD_BALANCER, virtual=True)
    reader = Reader(store, view)
    reader.list_known(kind_prefix(Kind.IP_POOL))
    reader.list_known(affinity_prefix(LOAD_BALANCER, virtual=True))
    reader.list_reservations()
    reader.read((CLUSTER, IPAMConfigKey()))
    if not view.ready:
        raise Frozen("no address decision now: ClusterInformation is absent or not ready")
    return view, reader
