"""Addresses of Services: blocks of the virtual owner, Calico's handle, nobody's node."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from ipaddress import ip_address, ip_network

import pytest

from felix_py.datastore.model import Kind
from ipam.audit import snapshot_of
from ipam.comparison import compare
from ipam.errors import (
    AddressTaken,
    BadRequest,
    Frozen,
    NoQualifiedPool,
    NotInPool,
    PoolExhausted,
)
from ipam.load_balancer import ServiceAddresses, ServiceAsk
from ipam.service import Service
from tests.unit.ipam.cluster import Cluster, Machine, addresses
from tests.unit.ipam.test_allocator import first

WEB, DNS = Service("default", "web", "uid-1"), Service("kube-system", "dns", "uid-2")


def cluster(cidr: str = "10.250.0.0/28") -> Cluster:
    """A pool for Services, one for pods, a node."""
    made = Cluster()
    made.pool("services", cidr, 30, allowedUses=["LoadBalancer"])
    made.pool("pods", "10.0.0.0/28", 30)
    made.pool("v6", "fd00::/120", 126, allowedUses=["LoadBalancer"])
    made.node("a")
    return made


def services(made: Cluster) -> ServiceAddresses:
    return ServiceAddresses(made.store, lambda: datetime(2026, 1, 1, tzinfo=UTC))


def test_the_handle_is_calicos() -> None:
    assert Service("ns", "Web", "AB-1").handle_id == Service("ns", "web", "ab-1").handle_id
    assert WEB.handle_id == "lb-gq7tFkUs5e5s4JLiHs8oSpqCXqxW3et5tXdnLacg"
    assert WEB.handle_id != Service("default", "web", "uid-2").handle_id


def test_a_service_gets_an_address_in_a_block_of_the_virtual_owner() -> None:
    made = cluster()
    lease = services(made).assign(ServiceAsk(WEB))
    (address,) = addresses(lease)
    block = made.block(lease.addresses[0].block)
    assert block is not None
    assert block.affinity == "virtual:load-balancer"
    prefix = "/calico/ipam/v2/virtual/load-balancer/"
    assert len(made.store.list(prefix).items) == 1
    (holder,) = block.attributes
    assert holder.handle_id == WEB.handle_id
    assert dict(holder.secondary) == {
        "service": "web",
        "namespace": "default",
        "type": "LoadBalancer",
        "timestamp": "2026-01-01 00:00:00.000000 +0000 UTC",
    }
    assert ip_address(address) in lease.addresses[0].block
    assert made.affinities() == {}


def test_the_same_again_writes_nothing_and_another_service_gets_the_next_of_the_block() -> None:
    made = cluster()
    lease = services(made).assign(ServiceAsk(WEB))
    before = made.store.revision
    assert addresses(services(made).assign(ServiceAsk(WEB))) == addresses(lease)
    assert made.store.revision == before
    other = services(made).assign(ServiceAsk(DNS))
    assert other.addresses[0].block == lease.addresses[0].block
    assert addresses(other) != addresses(lease)


def test_both_families_come_together_or_not_at_all() -> None:
    made = cluster()
    both = services(made).assign(ServiceAsk(WEB, families=(4, 6)))
    assert [leased.address.version for leased in both.addresses] == [4, 6]
    with pytest.raises(NoQualifiedPool):
        services(made).assign(ServiceAsk(DNS, families=(4, 6), pools=("services",)))
    assert made.handle(DNS.handle_id) is None


def test_an_address_by_name_is_given_from_a_pool_for_services_alone() -> None:
    made = cluster()
    wish = ServiceAsk(WEB, addresses=(ip_address("10.250.0.9"),))
    assert addresses(services(made).assign(wish)) == ["10.250.0.9"]
    with pytest.raises(AddressTaken):
        services(made).assign(ServiceAsk(DNS, addresses=wish.addresses))
    with pytest.raises(NoQualifiedPool, match="allowedUses"):
        services(made).assign(ServiceAsk(DNS, addresses=(ip_address("10.0.0.1"),)))
    with pytest.raises(NotInPool):
        services(made).assign(ServiceAsk(DNS, addresses=(ip_address("192.0.2.1"),)))


def test_reserved_addresses_are_passed_over() -> None:
    made = cluster()
    made.reserve("first", "10.250.0.0/29")
    for service in (WEB, DNS):
        (address,) = addresses(services(made).assign(ServiceAsk(service)))
        assert ip_address(address) in ip_network("10.250.0.8/29")


def test_a_full_pool_is_refused_with_its_name() -> None:
    made = cluster("10.250.0.0/30")
    for number in range(4):
        services(made).assign(ServiceAsk(Service("default", f"s{number}", "u")))
    with pytest.raises(PoolExhausted, match="services"):
        services(made).assign(ServiceAsk(WEB))


def test_many_at_once_get_an_address_each() -> None:
    made = cluster()
    asks = [ServiceAsk(Service("default", f"s{number}", "u")) for number in range(16)]
    with ThreadPoolExecutor(8) as threads:
        leases = list(threads.map(services(made).assign, asks))
    given = [address for lease in leases for address in addresses(lease)]
    assert len(set(given)) == 16


def test_the_audit_finds_nothing_wrong_with_them() -> None:
    made = cluster()
    services(made).assign(ServiceAsk(WEB))
    assert compare(snapshot_of(made.store)) == []


def test_what_is_released_is_given_again_and_the_other_keeps_its_own() -> None:
    made = cluster("10.250.0.0/30")
    first_lease = services(made).assign(ServiceAsk(WEB))
    kept = services(made).assign(ServiceAsk(DNS))
    assert addresses(services(made).release(WEB)) == addresses(first_lease)
    assert services(made).release(WEB).addresses == ()
    assert addresses(services(made).assign(ServiceAsk(DNS))) == addresses(kept)
    assert made.handle(WEB.handle_id) is None


def test_pods_of_a_node_get_none_of_them() -> None:
    made = cluster()
    services(made).assign(ServiceAsk(WEB))
    machine = Machine(made.store, "a", start_at=first)
    given = [addresses(machine.assign(f"h{number}"))[0] for number in range(16)]
    assert all(address.startswith("10.0.0.") for address in given)
    with pytest.raises(PoolExhausted):
        machine.assign("h16")


def test_a_closed_datastore_gives_nothing_out() -> None:
    made = cluster()
    closed = {"clusterGUID": "a" * 32, "datastoreReady": False}
    made.resource(Kind.CLUSTER_INFORMATION, "default", closed)
    with pytest.raises(Frozen):
        services(made).assign(ServiceAsk(WEB))


def test_a_service_without_a_name_or_uid_is_refused() -> None:
    for service in (Service("", "web", "u"), Service("default", "", "u"), Service("d", "w", "")):
        with pytest.raises(BadRequest, match="service"):
            services(cluster()).assign(ServiceAsk(service))
