"""A recovery on three real etcd members with TLS, under the least role that a node's daemons have."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from felix_py.datastore import gate
from felix_py.datastore.codec import encode
from felix_py.datastore.errors import StoreRefused
from felix_py.datastore.etcd_store import EtcdStore
from felix_py.datastore.identity import ACCEPTED
from felix_py.datastore.keys import RECOVERY, RECOVERY_ANSWERS, ResourceKey, SessionKey
from felix_py.datastore.model import Kind, NodeName
from felix_py.datastore.model_own import Session
from felix_py.install.roles import CONTROLLERS, NODE, ROOT
from felix_py.runtime.clock import FakeClock
from tests.support.etcd_cluster import EtcdCluster
from tests.unit.cni.test_recovery import ALL_THE_TIME, ONE, TWO, Server
from tests.unit.ipam.cluster import Cluster
from tests.unit.ipam.test_audit import endpoint, made

__all__ = ["made"]

pytestmark = [pytest.mark.root, pytest.mark.etcd]

A, B = NodeName("a"), NodeName("b")
NOT_IPAMS_OWN = "/felix-py/v1/nodes/"


@pytest.fixture
def etcd(made: Cluster) -> Iterator[EtcdCluster]:
    """What the story's store holds, and the objects of two nodes."""
    with EtcdCluster(secure=True) as etcd:
        for item in made.store.list("/").items:
            if not item.key.startswith(NOT_IPAMS_OWN):
                etcd.put(item.key, item.value.decode())
        for node in (A, B):
            etcd.put(SessionKey(node).path, encode(Session(f"machine-{node}", "n")).decode())
            document = {"kind": "Node", "metadata": {"name": node}, "spec": {}}
            etcd.put(ResourceKey(Kind.NODE, node).path, json.dumps(document))
        yield etcd


@contextmanager
def store_of(etcd: EtcdCluster, user: str) -> Iterator[EtcdStore]:
    with ExitStack() as stack:
        store = EtcdStore.connect(etcd.settings_of(user))
        stack.callback(store.close)
        yield store


def test_the_role_of_nodes_suffices_to_close_judge_and_open(etcd: EtcdCluster) -> None:
    clock = FakeClock()
    with store_of(etcd, NODE) as store, store_of(etcd, ROOT) as reader:
        servers = [Server(store, A, clock, [ONE]), Server(store, B, clock)]
        servers[0].recovery.step()
        closed, _ = gate.look(reader)
        assert closed is not None
        assert closed.ours
        for _ in range(int(ALL_THE_TIME)):
            for server in servers:
                server.recovery.step()
            clock.seconds += 1.0
        opened, _ = gate.look(reader)
        assert opened is not None
        assert opened.is_open
        assert reader.get(ACCEPTED) is not None
        assert reader.get(endpoint("one").key.path) is not None
        assert reader.get(TWO.endpoint) is None, "it lives no more"
        assert len(reader.list(RECOVERY_ANSWERS).items) == 2
        for server in servers:
            server.trusts()
            server.registered = True
            server.recovery.step()
        for server in servers:
            server.recovery.step()
        assert not reader.list(RECOVERY).items
        assert not any(server.recovery.others_register for server in servers)


def test_who_may_not_close_it_says_so_and_changes_nothing(etcd: EtcdCluster) -> None:
    """The control: another of the product's users has no such right."""
    with store_of(etcd, CONTROLLERS) as store, store_of(etcd, ROOT) as reader:
        server = Server(store, A, FakeClock(), [ONE, TWO])
        with pytest.raises(StoreRefused):
            server.recovery.step()
        assert "cannot be closed by this node" in server.said
        found, _ = gate.look(reader)
        assert found is not None
        assert found.is_open
        assert not reader.list(RECOVERY).items
