"""etcd is wiped: nothing is written before its pools are back, then what lives fills it again."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.support.lab import eventually
from tests.support.lost_store import NODES, NOTICE_SECONDS, TRY_AGAIN, Cluster
from tests.support.recovered_store import (
    BY_ITSELF_SECONDS,
    GO_ON_SECONDS,
    SETTLE_SECONDS,
    Before,
    recovered,
    tight_lab,
)

pytestmark = [pytest.mark.root, pytest.mark.lab]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with tight_lab(tmp_path_factory.mktemp("wiped")) as lab:
        yield Cluster(lab)


@pytest.mark.timeout(400)
def test_a_wiped_store_is_filled_again_by_who_lives_once_its_pools_are_restored(
    cluster: Cluster,
) -> None:
    """Pods start on every node meanwhile; the operator restores an older backup, and nothing else."""
    cluster.recovery("automatic")
    gone = cluster.add("node-a2", "node-b1")
    after = cluster.add("node-a1", "node-a1", "node-b1")
    file = str(cluster.lab.directory / "kept.backup")
    assert "keys at revision" in cluster.felixctl("node-a1", "datastore", "backup", file)
    cluster.delete(*gone)
    after += cluster.add("node-b2", "node-b1")
    with cluster.nothing_lost(*after):
        cluster.swap(None)
        cluster.wait_frozen("absent")
        before = Before.of(cluster)
        assert {node: cluster.refused_add(node) for node in NODES} == dict.fromkeys(
            NODES, TRY_AGAIN
        )
        assert cluster.revision() == 1, "one of us wrote into it"
        with cluster.starting(3) as made:
            cluster.felixctl("node-a1", "datastore", "restore", file)
            since = cluster.revision()
            assert eventually(cluster.closed, NOTICE_SECONDS)
            assert eventually(lambda: len(made) == 3 * len(NODES), BY_ITSELF_SECONDS)
        assert eventually(lambda: cluster.all_are("ok"), GO_ON_SECONDS), cluster.but("ok")
        recovered(cluster, since, before)
    assert not {pod.address for pod in made} & set(before.inside.values())
    cluster.delete(*after, *made)
    assert eventually(cluster.agree, SETTLE_SECONDS), cluster.disagreements()


@pytest.mark.timeout(400)
def test_a_wiped_store_that_is_initialised_anew_is_touched_only_when_a_person_says_so(
    cluster: Cluster,
) -> None:
    """Its cluster is another one by name: nobody but a person knows that it was made for this one."""
    cluster.recovery("automatic")
    after = cluster.add("node-a1", "node-b1")
    file = cluster.lab.directory / "objects.yaml"
    kinds = ("ippools", "bgpconfigurations", "bgppeers", "nodes")
    told = [cluster.felixctl("node-a1", "get", kind, "-o", "yaml") for kind in kinds]
    lines = "---\n".join(told).splitlines(keepends=True)
    file.write_text("".join(line for line in lines if "resourceVersion:" not in line))
    before = Before.of(cluster)
    with cluster.nothing_lost(*after):
        cluster.swap(None)
        cluster.wait_frozen("absent")
        cluster.felixctl("node-a1", "init")
        cluster.felixctl("node-a1", "apply", "--yes", "-f", str(file))
        since = cluster.revision()
        cluster.wait_frozen("belongs to")
        assert "made anew for this cluster: felixctl ipam recover" in cluster.waits_for("node-a2")
        time.sleep(5)
        assert cluster.revision() == since, "one of us wrote into it"
        with cluster.starting(1) as made:
            cluster.felixctl("node-b1", "ipam", "recover", "--yes")
            assert eventually(lambda: len(made) == len(NODES), BY_ITSELF_SECONDS)
        assert eventually(lambda: cluster.all_are("ok"), GO_ON_SECONDS), cluster.but("ok")
        recovered(cluster, since, before)
    cluster.delete(*after, *made)
    assert eventually(cluster.agree, SETTLE_SECONDS), cluster.disagreements()
