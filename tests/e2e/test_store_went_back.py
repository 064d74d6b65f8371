"""etcd goes back to a snapshot: nothing is deleted, nothing is given out, nobody notices."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from felix_py.lab import cni_runtime, pods
from felix_py.lab.machine import Machine
from tests.support.lab import eventually
from tests.support.lost_store import DAEMONS, NODES, NOTICE_SECONDS, TRY_AGAIN, Cluster
from tests.support.recovered_store import (
    BY_ITSELF_SECONDS,
    GO_ON_SECONDS,
    SETTLE_SECONDS,
    Before,
    recovered,
    tight_lab,
)

pytestmark = [pytest.mark.root, pytest.mark.lab]

WRITES_OF_OTHERS = 60
CHURN = 250
"""Attachments that come and go on each node between the snapshot and its restore: a thousand in all."""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with tight_lab(tmp_path_factory.mktemp("wentback")) as lab:
        yield Cluster(lab)


@pytest.mark.timeout(400)
def test_a_restored_store_freezes_everything_until_its_data_returns(cluster: Cluster) -> None:
    cluster.recovery("manual")
    gone = cluster.add("node-a2", "node-b2")
    doomed = cluster.add("node-b1")[0]
    snapshot = cluster.snapshot()
    after = cluster.add("node-a1", "node-a1", "node-b1")
    cluster.delete(*gone)
    assert eventually(cluster.agree, SETTLE_SECONDS), cluster.disagreements()
    with cluster.nothing_lost(after[0], after[2]):
        newer = cluster.swap(cluster.restored(snapshot))
        cluster.wait_frozen("went back")
        assert eventually(cluster.closed, NOTICE_SECONDS)
        revision, links, routes = cluster.revision(), cluster.pod_links(), cluster.pod_routes()
        assert {node: cluster.refused_add(node) for node in NODES} == dict.fromkeys(
            NODES, TRY_AGAIN
        )
        for kind in DAEMONS:
            before = cluster.lab.pids("node-a1", kind)
            cluster.lab.felix_lab("fail", "process", "node-a1", kind)
            assert eventually(lambda k=kind, b=before: restarted(cluster, k, b), 20), kind  # type: ignore[misc]
        # Somebody else writes into the restored store: its revision grows past the one we knew.
        for _ in range(WRITES_OF_OTHERS):
            cluster.ctl("put", "/elsewhere", "x")
        time.sleep(3)
        cluster.wait_frozen("went back")
        assert cluster.refused_add("node-a1") == TRY_AGAIN
        assert (cluster.pod_links(), cluster.pod_routes()) == (links, routes)
        assert cluster.revision() == revision + WRITES_OF_OTHERS, "one of us wrote into it"
        cluster.delete(doomed)
        assert len(cluster.pending_dels("node-b1")) == 1
        assert cluster.revision() == revision + WRITES_OF_OTHERS
        restored = cluster.swap(newer)
        assert restored.exists()
        assert eventually(lambda: cluster.all_are("ok"), SETTLE_SECONDS), cluster.but("ok")
        assert eventually(lambda: not cluster.pending_dels("node-b1"), SETTLE_SECONDS)
        made = cluster.add(*NODES)
        assert eventually(cluster.agree, SETTLE_SECONDS), cluster.disagreements()
    cluster.delete(*after, *made)
    assert eventually(cluster.agree, SETTLE_SECONDS), cluster.disagreements()


def restarted(cluster: Cluster, kind: str, before: list[int]) -> bool:
    """A daemon of node-a1 runs again, under another id, and says that it is frozen."""
    now = cluster.lab.pids("node-a1", kind)
    file = Path(cluster.names["nodes"][0]["runDir"], "status", f"{kind}.json")
    said = json.loads(file.read_text())
    return (
        bool(now)
        and not set(now) & set(before)
        and said["pid"] in now
        and bool(said["store"]["frozen"])
    )


@pytest.mark.timeout(400)
def test_a_person_recovers_a_restore_and_no_address_is_given_twice(cluster: Cluster) -> None:
    cluster.recovery("manual")
    gone = cluster.add("node-a2", "node-b2")
    snapshot = cluster.snapshot()
    cluster.churn(CHURN // 10)
    after = cluster.add("node-a1", "node-a1", "node-a1", "node-b1")
    cluster.delete(*gone)
    assert eventually(cluster.agree, SETTLE_SECONDS), cluster.disagreements()
    with cluster.nothing_lost(*after):
        cluster.swap(cluster.restored(snapshot))
        cluster.wait_frozen("went back")
        links, routes, inside = cluster.pod_links(), cluster.pod_routes(), cluster.inside()
        assert after[0].address in check(cluster, "node-a1", "unregistered pod")
        assert cluster.disagreements(), "the snapshot knows pods that are gone"
        with cluster.starting(3) as made:
            said = cluster.felixctl("node-b2", "ipam", "recover", "--yes")
            assert "2 endpoints and" in said
            assert "CONFLICT" not in said
            assert eventually(lambda: cluster.all_are("ok"), GO_ON_SECONDS), cluster.but("ok")
        assert len(made) == 3 * len(NODES)
        made += cluster.add("node-a1", "node-b1")
        assert cluster.doubles() == []
        assert not {pod.address for pod in made} & set(inside.values())
        assert cluster.pod_links() >= links
        assert cluster.pod_routes() >= routes
        assert cluster.inside().items() >= inside.items()
    assert eventually(cluster.agree, SETTLE_SECONDS), cluster.disagreements()
    assert check(cluster, "node-a1", "") == ""
    assert eventually(lambda: not cluster.recovery_keys(), SETTLE_SECONDS)
    cluster.delete(*after, *made)
    assert eventually(cluster.agree, SETTLE_SECONDS), cluster.disagreements()


@pytest.mark.timeout(400)
def test_a_restore_recovers_by_itself_while_pods_start_on_every_node(cluster: Cluster) -> None:
    """A thousand attachments after the snapshot. Only the nodes do anything, and who leads is killed."""
    cluster.recovery("automatic")
    gone = cluster.add("node-a2", "node-b2")
    snapshot = cluster.snapshot()
    cluster.churn(CHURN)
    after = cluster.add("node-a1", "node-a1", "node-a1", "node-b1")
    cluster.delete(*gone)
    assert eventually(cluster.agree, SETTLE_SECONDS), cluster.disagreements()
    with cluster.nothing_lost(*after):
        before = Before.of(cluster)
        with cluster.starting(3) as made:
            cluster.swap(cluster.restored(snapshot))
            since = cluster.revision()
            assert eventually(lambda: bool(cluster.leader()), NOTICE_SECONDS)
            assert cluster.closed()
            cluster.lab.felix_lab("fail", "process", cluster.leader(), "cni")
            assert eventually(lambda: len(made) == 3 * len(NODES), BY_ITSELF_SECONDS)
        assert eventually(lambda: cluster.all_are("ok"), GO_ON_SECONDS), cluster.but("ok")
        recovered(cluster, since, before)
    assert not {pod.address for pod in made} & set(before.inside.values())
    cluster.delete(*after, *made)
    assert eventually(cluster.agree, SETTLE_SECONDS), cluster.disagreements()


@pytest.mark.timeout(400)
def test_a_node_that_does_not_answer_is_named_by_all_and_its_return_ends_the_waiting(
    cluster: Cluster,
) -> None:
    cluster.recovery("automatic")
    gone = cluster.add("node-a2")
    snapshot = cluster.snapshot()
    after = cluster.add("node-a1", "node-b1", "node-b2")
    cluster.delete(*gone)
    before = Before.of(cluster)
    with cluster.nothing_lost(*after):
        with cluster.mute("node-b2"):
            cluster.swap(cluster.restored(snapshot))
            since = cluster.revision()
            for node in ("node-a1", "node-a2", "node-b1"):
                asked = eventually(lambda n=node: "node-b2" in cluster.waits_for(n), 30)  # type: ignore[misc]
                assert asked, cluster.waits_for(node)
                assert "felixctl ipam recover --dead node-b2" in cluster.waits_for(node)
            time.sleep(15)
            assert cluster.closed()
            assert cluster.refused_add("node-a1") == TRY_AGAIN
        ok = eventually(lambda: cluster.all_are("ok"), BY_ITSELF_SECONDS)
        assert ok, cluster.but("ok")
        recovered(cluster, since, before)
    cluster.delete(*after)
    assert eventually(cluster.agree, SETTLE_SECONDS), cluster.disagreements()


@pytest.mark.timeout(400)
def test_a_node_that_does_not_answer_is_named_and_a_restore_is_not_accepted_before(
    cluster: Cluster,
) -> None:
    """Then the old way: accepted as it is, and what the snapshot holds of pods that are gone is named."""
    cluster.recovery("manual")
    gone = cluster.add("node-a2")
    snapshot = cluster.snapshot()
    after = cluster.add("node-a1", "node-b1")
    cluster.delete(*gone)
    with cluster.nothing_lost(*after):
        cluster.swap(cluster.restored(snapshot))
        cluster.wait_frozen("went back")
        cluster.lab.felix_lab("fail", "process", "node-b2", "cni", "--hold")
        told = cluster.lab.felix_lab(
            *("exec", "node-a1", "--", "felixctl", "ipam", "recover", "--yes", "--wait", "8"),
            check=False,
        )
        assert told.returncode != 0
        assert "node-b2 did not answer" in told.stderr
        cluster.lab.felix_lab("heal")
        assert eventually(lambda: cluster.answers("node-b2", "cni"), 30), json.dumps(
            cluster.said("node-b2")["daemons"]["cni"]
        )
        cluster.wait_frozen("went back")
        cluster.felixctl("node-b2", "datastore", "accept")
        assert eventually(lambda: cluster.all_are("ok"), GO_ON_SECONDS), cluster.but("ok")
    for pod in gone:
        assert pod.address in check(cluster, pod.node, "endpoint without route")
        attachment = pods.attachment(cluster.home, pod.name, pod.container_id)
        cni_runtime.delete(Machine(cluster.home, pod.node), attachment)
    assert eventually(cluster.agree, SETTLE_SECONDS), cluster.disagreements()
    cluster.delete(*after)
    assert eventually(cluster.agree, SETTLE_SECONDS), cluster.disagreements()


def check(cluster: Cluster, node: str, problem: str) -> str:
    """What `ipam check` on a node says of a kind of problem, as one text."""
    command = ["exec", node, "--", "felixctl", "ipam", "check", "-o", "json"]
    told = json.loads(cluster.lab.felix_lab(*command, check=False).stdout)
    found = [each for each in told["findings"] if problem in each["problem"]]
    return "\n".join(f"{each['what']} {each['detail']}" for each in found)


@pytest.mark.timeout(400)
def test_the_data_that_returns_after_a_recovery_is_recovered_in_its_turn(cluster: Cluster) -> None:
    """The wrong snapshot is restored and recovers; pods come and go; then the right one is put in its place.

    It does not know what happened since, and its revision is the higher one.
    """
    cluster.recovery("automatic")
    snapshot = cluster.snapshot()
    passing, *after = cluster.add("node-a2", "node-a1", "node-b2")
    for _ in range(WRITES_OF_OTHERS):
        cluster.ctl("put", "/elsewhere", "x")
    with cluster.nothing_lost(*after):
        newer = cluster.swap(cluster.restored(snapshot))
        assert eventually(lambda: cluster.all_are("ok") and not cluster.recovery_keys(), 90)
        cluster.delete(passing)
        after += cluster.add(*NODES)
        before = Before.of(cluster)
        cluster.swap(newer)
        since = cluster.revision()
        cluster.wait_frozen("went back")
        ok = eventually(lambda: cluster.all_are("ok"), BY_ITSELF_SECONDS)
        assert ok, cluster.but("ok")
        recovered(cluster, since, before)
    cluster.delete(*after)
    assert eventually(cluster.agree, SETTLE_SECONDS), cluster.disagreements()


def test_the_search_for_doubles_finds_one_that_is_planted(cluster: Cluster) -> None:
    """The control of what the other tests rely on."""
    one, other = pods.every(cluster.home)[:2]
    assert cluster.doubles() == []
    namespace = ("ip", "-n", other.netns, "addr")
    subprocess.run([*namespace, "del", f"{other.address}/32", "dev", "eth0"], check=True)
    subprocess.run([*namespace, "add", f"{one.address}/32", "dev", "eth0"], check=True)
    try:
        told = cluster.doubles()
    finally:
        subprocess.run([*namespace, "add", f"{other.address}/32", "dev", "eth0"], check=True)
        subprocess.run([*namespace, "del", f"{one.address}/32", "dev", "eth0"], check=True)
    assert one.address in told
    assert any(text.startswith(f"{other.name} has {one.address}") for text in told)
