"""Several nodes on one nearly full pool, killed at random, etcd too: no address is ever held twice."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path

import pytest

from felix_py.datastore.etcd_store import EtcdStore
from felix_py.datastore.settings import DatastoreSettings
from felix_py.install.roles import NODE
from ipam.audit import audit
from ipam.errors import PoolExhausted
from ipam.findings import Problem
from ipam.mender import put_right
from ipam.office import Office
from tests.functional.ipam.history_check import ENDPOINTS, HANDLES, Told, World, history
from tests.functional.ipam.writers import (
    FEW,
    MANY,
    MEMBERS,
    POOL_V6,
    Storm,
    Writers,
    every_write,
    initialise,
    rage,
    writing,
)
from tests.support.etcd import EtcdServer
from tests.support.etcd_cluster import SIZE, EtcdCluster
from tests.unit.ipam.cluster import Machine, addresses

TIMEOUT_SECONDS = 2.0


def granted(directory: Path) -> dict[int, list[tuple[str, list[str]]]]:
    """Revision to the leases whose holders were told of it; a killed writer's last line may be torn."""
    found: dict[int, list[tuple[str, list[str]]]] = {}
    for path in directory.glob("*/granted"):
        for line in path.read_text("utf-8").splitlines():
            try:
                handle, addresses, revision = json.loads(line)
            except ValueError:
                continue
            found.setdefault(revision, []).append((handle, addresses))
    return found


@pytest.mark.etcd
@pytest.mark.timeout(300)
@pytest.mark.parametrize("storm", [FEW, MANY], ids=["three", "fifty"])
def test_no_address_is_ever_held_twice_and_none_is_leaked(storm: Storm, tmp_path: Path) -> None:
    with EtcdServer() as server:
        initialise(server, storm)
        settings = DatastoreSettings(endpoints=[server.endpoint], timeout_seconds=TIMEOUT_SECONDS)
        with writing(Writers(settings, tmp_path, storm.task)) as writers:
            rage(storm, writers, server.restart)
            writers.stop_all()
            assert every_write(storm) <= writers.deaths(), "not every write was tried"
            assert audited(server, settings) == []
            assert writers.drain(storm.nodes[0]) == 0, writers.logs()
        left = settled(server, settings, tmp_path, storm, writers)
        assert [key for key in left if key.startswith((HANDLES, ENDPOINTS))] == []
        assert half_way(left) == []


@pytest.mark.etcd
@pytest.mark.timeout(300)
def test_members_are_killed_in_turn_and_no_address_is_lost_or_doubled(tmp_path: Path) -> None:
    """Three members, TLS, and the least that a node may do."""
    storm = MEMBERS
    with EtcdCluster(secure=True) as cluster:
        initialise(cluster, storm)
        settings = cluster.settings_of(NODE)
        dead: list[int] = []

        def kill_the_next() -> None:
            member = dead[-1] if dead else 2
            dead.append((member + 1) % SIZE)
            cluster.kill(dead[-1])
            time.sleep(1)
            cluster.start(dead[-1])
            cluster.await_quorum()

        with writing(Writers(settings, tmp_path, storm.task)) as writers:
            for _ in range(SIZE):
                rage(replace(storm, kills=2, seconds=8), writers, kill_the_next)
            assert dead == [0, 1, 2]
            writers.stop_all()
            assert writers.drain(storm.nodes[0]) == 0, writers.logs()
        settled(cluster, settings, tmp_path, storm, writers)


def settled(
    server: Told, settings: DatastoreSettings, directory: Path, storm: Storm, writers: Writers
) -> dict[str, str]:
    """Nothing was ever wrong, nothing is left, and each address can be had again; what etcd holds."""
    world, problems, told = walk(server, granted(directory))
    assert problems == []
    assert told > 60, writers.logs()
    assert world.borrowed > 0
    assert world.most_held > 60
    assert world.owner_of == {}
    store = EtcdStore.connect(settings)
    try:
        left = {item.key: item.value.decode() for item in store.list("/calico/").items}
        assert audit(store).findings == ()
        assert len(everything(store, storm, 4, 1)) == ip_network(storm.pool).num_addresses
        assert len(everything(store, storm, 6, 8)) == ip_network(POOL_V6).num_addresses
    finally:
        store.close()
    return left


def audited(server: EtcdServer, settings: DatastoreSettings) -> list[str]:
    """What an audit of pods that live has to say; an endpoint that is taken away it must see and mend."""
    store = EtcdStore.connect(settings)
    try:
        said = [f"{finding.problem}: {finding.what}" for finding in audit(store).findings]
        server.ctl("del", next(iter(server.dump(ENDPOINTS))))
        planted = audit(store)
        assert {finding.problem for finding in planted.findings} == {Problem.LEAKED}
        mended = put_right(Office(store), planted.findings, planted.revision)
        said += [each.said for each in mended if not each.done]
        return said + [finding.what for finding in audit(store).findings]
    finally:
        store.close()


def everything(store: EtcdStore, storm: Storm, version: int, at_once: int) -> set[str]:
    """Ask for addresses until there are none."""
    machines = [Machine(store, node) for node in storm.nodes]
    found: set[str] = set()
    for number in range(1000):
        machine = machines[number % len(machines)]
        machine.clock.advance(2)
        handle = f"net.all{version}x{number}"
        try:
            lease = machine.assign(handle, families=(version,), count=at_once)
        except PoolExhausted:
            return found
        found |= set(addresses(lease))
    raise AssertionError("there is no end of addresses")


def walk(
    server: Told, leases: dict[int, list[tuple[str, list[str]]]]
) -> tuple[World, list[str], int]:
    """The world at the end, everything that was ever wrong, and how many leases were true."""
    world = World()
    problems: list[str] = []
    confirmed = 0
    for revision, changes in history(server):
        problems += [f"revision {revision}: {text}" for text in world.apply(changes)]
        for handle, given in leases.pop(revision, []):
            confirmed += 1
            wrong = [a for a in given if world.owner_of.get(a) != handle]
            if wrong:
                problems.append(f"revision {revision}: {handle} was told of {wrong}")
    problems += [f"revision {r}: was told of, but changed nothing" for r in leases]
    return world, problems, confirmed


def half_way(left: dict[str, str]) -> list[str]:
    """Affinities that are not confirmed or have no block, blocks without affinity."""
    found = []
    for key, text in left.items():
        if key.startswith("/calico/ipam/v2/host/"):
            node, _, block = key.removeprefix("/calico/ipam/v2/host/").partition("/")
            stored = json.loads(left.get(f"/calico/ipam/v2/assignment/{block}", "{}"))
            fine = json.loads(text)["state"] == "confirmed"
            if not fine or stored.get("affinity") != f"host:{node}":
                found.append(key)
        if key.startswith("/calico/ipam/v2/assignment/"):
            affinity = json.loads(text)["affinity"]
            block = key.removeprefix("/calico/ipam/v2/assignment/")
            if affinity is None or f"/calico/ipam/v2/host/{affinity[5:]}/{block}" not in left:
                found.append(key)
    return found


BLOCK = {
    "cidr": "10.0.0.0/30",
    "affinity": "host:a",
    "allocations": [0, None, None, None],
    "unallocated": [1, 2, 3],
    "attributes": [{"handle_id": "net.one", "secondary": {"node": "a"}}],
}


def wep(container: str, address: str) -> str:
    return json.dumps({"spec": {"containerID": container, "ipNetworks": [f"{address}/32"]}})


@pytest.mark.etcd
def test_the_checker_sees_a_planted_duplicate() -> None:
    key = "/calico/ipam/v2/assignment/ipv4/block/10.0.0.0-30"
    with EtcdServer() as server:
        server.put(key, json.dumps(BLOCK))
        server.put(f"{HANDLES}net.one", json.dumps({"block": {"10.0.0.0/30": 1}}))
        server.put(f"{ENDPOINTS}default/one", wep("one", "10.0.0.0"))
        since = server.revision()
        server.put(key, json.dumps(BLOCK).replace("net.one", "net.two"))
        server.put(f"{ENDPOINTS}default/two", wep("two", "10.0.0.0"))
        _, problems, _ = walk(server, {since: [("net.lost", ["10.0.0.0"])]})
        mine = [text for text in problems if int(text.split()[1].strip(":")) > since]
        assert any("10.0.0.0 is held by net.two" in text for text in mine), problems
        assert any("is shown by" in text for text in mine)
        assert any("net.lost was told of" in text for text in problems)
        server.put(key.replace("-30", "-31"), json.dumps({**BLOCK, "cidr": "10.0.0.0/31"}))
        _, problems, _ = walk(server, {})
        assert any("in another block" in text for text in problems)
