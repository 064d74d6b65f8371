"""Nodes of ours and nodes of Calico on one etcd and pool: nobody takes the other's, whatever is killed."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from felix_py.datastore import codec
from felix_py.datastore.etcd_store import EtcdStore
from felix_py.datastore.keys import ResourceKey
from felix_py.datastore.model import HandleId, Kind
from felix_py.datastore.settings import DatastoreSettings
from ipam.audit import audit
from ipam.findings import Problem
from ipam.free import AddressRelease, release_addresses
from ipam.mender import put_right
from ipam.office import Office
from tests.support.calico import Calico, heard, killed
from tests.support.etcd import EtcdServer
from tests.unit.ipam.cluster import AT, Machine, addresses

pytestmark = [pytest.mark.etcd, pytest.mark.timeout(1500)]

BLOCKS, HANDLES = "/calico/ipam/v2/assignment/", "/calico/ipam/v2/handle/"
POOL = {
    "cidr": "10.244.0.0/24",
    "blockSize": 28,
    "ipipMode": "Never",
    "vxlanMode": "Never",
    "nodeSelector": "all()",
    "allowedUses": ["Workload", "Tunnel"],
}
OURS, THEIRS = ("a", "b"), ("calico-1", "calico-2")
KILLS = 20


@pytest.fixture
def store(etcd: EtcdServer) -> Iterator[EtcdStore]:
    """A cluster with one pool, in which nodes of both kinds are known."""
    cluster = {"clusterGUID": "a" * 32, "datastoreReady": True, "calicoVersion": "v3.32.1"}
    put(etcd, Kind.CLUSTER_INFORMATION, "default", cluster)
    put(etcd, Kind.IP_POOL, "main", POOL)
    for name in (*OURS, *THEIRS):
        put(etcd, Kind.NODE, name, {})
    found = EtcdStore.connect(DatastoreSettings(endpoints=[etcd.endpoint]))
    yield found
    found.close()


def put(etcd: EtcdServer, kind: Kind, name: str, spec: Mapping[str, Any]) -> None:
    key = ResourceKey(kind, name)
    etcd.put(key.path, codec.render_new(key, spec, uid=name, created_at=AT).decode())


def held(etcd: EtcdServer) -> dict[str, str]:
    """Address to handle, as the blocks in etcd say it: etcdctl and plain JSON."""
    found = {}
    for text in etcd.dump(BLOCKS).values():
        block = json.loads(text)
        first = ip_network(block["cidr"]).network_address
        for ordinal, index in enumerate(block["allocations"]):
            if index is not None:
                found[str(first + ordinal)] = block["attributes"][index]["handle_id"]
    return found


def wrong(etcd: EtcdServer, told: Mapping[str, str]) -> list[str]:
    """Handles that do not hold, alone, the address that their owner was told."""
    stored, often = held(etcd), Counter(told.values())
    return [h for h, address in told.items() if stored.get(address) != h or often[address] > 1]


def problems(store: EtcdStore) -> Counter[Problem]:
    """What an audit finds besides leases without an endpoint: nobody here writes one."""
    found = audit(store, wait=lambda _: time.sleep(0.2)).findings
    return Counter(each.problem for each in found if each.problem is not Problem.LEAKED)


def live(machine: Machine, count: int) -> dict[str, str]:
    """The same that a node of Calico does: every third is given back."""
    kept = {}
    for number in range(count):
        handle = f"ours.{machine.name}-{number}"
        (kept[handle],) = addresses(machine.assign(handle))
        if number % 3 == 2:
            machine.release(handle)
            del kept[handle]
    return kept


def test_both_kinds_assign_at_once_and_each_holds_what_it_was_told(
    etcd: EtcdServer, store: EtcdStore, calico: Calico
) -> None:
    machines = [Machine(store, name) for name in OURS]
    nodes = [calico.node("live", name, 60) for name in THEIRS]
    told: dict[str, str] = {}
    for machine in machines:
        told |= live(machine, 60)
    for node in nodes:
        told |= heard(node)
    assert len(told) == 4 * 40
    assert wrong(etcd, told) == []
    assert problems(store) == Counter()
    assert f"{len(told)} (" in calico.ctl("ipam", "show")
    again = [calico.node("give", name, 6) for name in THEIRS]
    for node in again:
        heard(node)
    assert wrong(etcd, told) == []
    assert problems(store) == Counter()


def test_a_changed_holder_and_an_address_that_was_told_twice_are_seen(
    etcd: EtcdServer, store: EtcdStore
) -> None:
    """The control."""
    told = live(Machine(store, "a"), 3)
    assert wrong(etcd, told) == []
    one, other = told
    assert wrong(etcd, {one: told[one], other: told[one]}) == [one, other]
    ((key, text),) = etcd.dump(BLOCKS).items()
    etcd.put(key, text.replace(f'"{one}"', '"stranger"'))
    assert wrong(etcd, told) == [one]


def test_nodes_of_calico_that_are_killed_at_work_leave_nothing_that_we_cannot_use_or_mend(
    etcd: EtcdServer, store: EtcdStore, calico: Calico
) -> None:
    machine, told, seen = Machine(store, "a"), dict[str, str](), Counter[Problem]()
    for number in range(KILLS):
        kill_at_work(etcd, calico, after_seconds=number * 0.002)
        handle = f"ours.{number}"
        (told[handle],) = addresses(machine.assign(handle))
        assert wrong(etcd, told) == []
        seen += problems(store)
        free(store, {a: h for a, h in held(etcd).items() if h not in told})
        mend(store)
    assert seen, "no kill came between two writes"
    assert set(held(etcd).values()) == set(told)
    assert len(heard(calico.node("live", "calico-2", 90))) == 60
    assert wrong(etcd, told) == []
    assert problems(store) == Counter()


def kill_at_work(etcd: EtcdServer, calico: Calico, after_seconds: float) -> None:
    """Start a node of Calico, and kill it so long after its first write."""
    before = set(etcd.dump(HANDLES))
    node = calico.node("live", "calico-1", 100_000)
    while not set(etcd.dump(HANDLES)) - before:
        assert node.poll() is None, heard(node)
    time.sleep(after_seconds)
    killed(node)


def free(store: EtcdStore, stored: Mapping[str, str]) -> None:
    """As an administrator does it: by address, if that handle still has it."""
    release_addresses(
        Office(store),
        [AddressRelease(ip_address(each), HandleId(handle)) for each, handle in stored.items()],
    )


def mend(store: EtcdStore) -> None:
    """What an audit finds, but for leases without an endpoint."""
    found = audit(store, wait=lambda _: time.sleep(0.2))
    strays = [each for each in found.findings if each.problem is not Problem.LEAKED]
    for each in put_right(Office(store), strays, found.revision):
        assert each.done, each.said
