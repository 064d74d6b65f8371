"""Administrators' decisions on a store in memory; on a real one they are replayed against Calico."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from felix_py.datastore.keys import AffinityKey
from felix_py.datastore.model import HandleId, IPAMConfig, IPNetwork, NodeName, PoolName
from ipam import admin
from ipam.admin import AddressRelease, Office
from ipam.errors import BadRequest, GaveUp, NotInPool
from tests.unit.ipam.cluster import Cluster, Machine


@pytest.fixture
def made() -> Cluster:
    cluster = Cluster()
    cluster.pool("v4", "10.0.0.0/28", 29)
    cluster.node("a")
    cluster.node("b")
    return cluster


def machine(made: Cluster, name: str = "a") -> Machine:
    return Machine(made.store, name, start_at=lambda *_: 0)


@pytest.mark.parametrize(
    ("config", "field"),
    [
        (IPAMConfig(strict_affinity=False, auto_allocate_blocks=False), "auto_allocate_blocks"),
        (IPAMConfig(max_blocks_per_host=3), "maxBlocksPerHost"),
    ],
)
def test_calicos_two_rules_for_the_configuration_hold(config: IPAMConfig, field: str) -> None:
    with pytest.raises(BadRequest, match=field):
        admin.set_ipam_config(Office(Cluster().store), config)


def test_a_whole_block_of_many_handles_is_released_by_address() -> None:
    made = Cluster()
    made.pool("v4", "10.0.0.0/24", 24)
    made.node("a")
    machine = Machine(made.store, "a")
    leases = [machine.assign(f"h{number}") for number in range(200)]
    wanted = [
        AddressRelease(lease.addresses[0].address, HandleId(f"h{number}"))
        for number, lease in enumerate(leases)
    ]
    assert len(admin.release_addresses(Office(made.store), wanted).released) == 200
    assert made.store.list("/calico/ipam/v2/handle/").items == ()


def test_a_release_of_several_addresses_counts_each_in_its_handle(made: Cluster) -> None:
    machine(made).assign("h", count=3)
    wanted = [AddressRelease(ip_address(f"10.0.0.{n}")) for n in (0, 2)]
    freed = admin.release_addresses(Office(made.store), wanted)
    assert len(freed.released) == 2
    handle = made.handle("h")
    assert handle is not None
    assert handle.blocks == {ip_network("10.0.0.0/29"): 1}


def test_the_last_address_of_an_empty_block_whose_pool_left_its_node_takes_the_block_along(
    made: Cluster,
) -> None:
    machine(made).assign("h")
    made.pool("v4", "10.0.0.0/28", 29, nodeSelector="has(nothing)")
    admin.release_addresses(Office(made.store), [AddressRelease(ip_address("10.0.0.0"))])
    assert (made.blocks(), made.affinities()) == ({}, {})


def test_an_address_outside_every_pool_is_found_in_its_block(made: Cluster) -> None:
    machine(made).assign("h")
    made.store.delete("/calico/resources/v3/projectcalico.org/ippools/v4")
    one = AddressRelease(ip_address("10.0.0.0"), HandleId("h"))
    assert admin.release_addresses(Office(made.store), [one]).released
    lost = AddressRelease(ip_address("192.0.2.1"))
    assert admin.release_addresses(Office(made.store), [lost]).unallocated


def test_only_empty_blocks_are_given_up_when_that_is_required(made: Cluster) -> None:
    a = machine(made)
    a.assign("h")
    office = Office(made.store)
    key = AffinityKey(NodeName("a"), ip_network("10.0.0.0/29"))
    assert not admin.release_affinity(office, key, require_empty=True)
    a.release("h")
    assert admin.release_affinity(office, key, require_empty=True)
    assert (made.blocks(), made.affinities()) == ({}, {})


def test_a_machine_whose_affinity_was_taken_away_claims_anew(made: Cluster) -> None:
    a = machine(made)
    a.assign("h1")
    admin.release_host_affinities(Office(made.store), NodeName("a"))
    assert made.blocks()["10.0.0.0/29"].affinity is None
    lease = a.assign("h2")
    assert lease.addresses[0].block == ip_network("10.0.0.8/29")


def test_a_deleted_pool_leaves_used_blocks_without_affinity(made: Cluster) -> None:
    a = machine(made)
    a.assign("h1")
    admin.delete_pool(Office(made.store), PoolName("v4"), wait=lambda _: None)
    assert made.affinities() == {}
    a.release("h1")
    assert made.blocks() == {}
    with pytest.raises(NotInPool):
        admin.delete_pool(Office(made.store), PoolName("v4"), wait=lambda _: None)


def test_a_removed_node_holds_nothing_and_others_keep_what_is_theirs(made: Cluster) -> None:
    a, b = machine(made), machine(made, "b")
    a.assign("mine", count=9)
    b.assign("theirs", count=2)
    admin.remove_node(Office(made.store), NodeName("a"))
    assert made.handle("mine") is None
    assert made.handle("theirs") is not None
    assert set(made.affinities()) == set()
    assert sum(8 - len(block.unallocated) for block in made.blocks().values()) == 2
    assert made.store.get("/calico/resources/v3/projectcalico.org/nodes/a") is None


def test_nothing_of_a_removed_node_stays_under_our_own_keys(made: Cluster) -> None:
    machine(made).assign("mine")
    made.store.put("/felix-py/v1/nodes/a/status/felix", b"{}")
    made.store.put("/felix-py/v1/nodes/ab/status/felix", b"{}")
    admin.remove_node(Office(made.store), NodeName("a"))
    kept = [item.key for item in made.store.list("/felix-py/v1/nodes/").items]
    assert kept == ["/felix-py/v1/nodes/ab/status/felix"]


@pytest.mark.parametrize("what", ["session", "node"])
def test_a_node_that_is_at_work_meanwhile_is_not_removed(
    made: Cluster, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    a = machine(made)
    a.assign("before")
    released = admin.release_host_affinities

    def meanwhile(office: Office, node: NodeName) -> list[IPNetwork]:
        gone = released(office, node)
        if what == "session":
            a.assign("meanwhile")
        else:
            made.node("a", rack="new")
        return gone

    monkeypatch.setattr(admin, "release_host_affinities", meanwhile)
    with pytest.raises(GaveUp, match="stop its daemons"):
        admin.remove_node(Office(made.store), NodeName("a"))
    assert made.store.get("/calico/resources/v3/projectcalico.org/nodes/a") is not None
