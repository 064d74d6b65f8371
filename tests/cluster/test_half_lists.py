"""An API server that answers with half of its nodes and pods: nothing is taken from the living."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from felix_py.lab.kubernetes import applied, certificates, place, proof
from tests.e2e import truth
from tests.support import cluster_truth
from tests.support.cluster import Cluster
from tests.support.cluster_holdings import held
from tests.support.cluster_truth import disagreements
from tests.support.controllers import GRACE_SECONDS, QUARANTINE_SECONDS, calm, configure, hurry
from tests.support.lab import eventually

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.timeout(900)]
CHECKOUT = Path(__file__).resolve().parents[2]
SECONDS = 300.0
PORT = 16443
PODS = 9
SERVER = "FELIX_PY_KUBERNETES_API_SERVER"


@contextmanager
def half_lists(cluster: Cluster) -> Iterator[str]:
    """Its URL, meanwhile; the certificate is the real one's."""
    topology, home = cluster.topology, cluster.lab.home
    pki, address = place.directory(home) / "pki", place.api_address(topology)
    files = [f(pki, certificates.API_SERVER) for f in (certificates.certificate, certificates.key)]
    process = subprocess.Popen(
        [
            *(
                "nsenter",
                f"--net=/run/netns/{home.netns(place.spec(topology).control_plane)}",
                "--",
            ),
            *(sys.executable, "-m", "tests.support.half_api"),
            *(f"{PORT}", f"{address}:{place.API_PORT}", *map(str, files)),
        ],
        cwd=CHECKOUT,
    )
    try:
        yield f"https://{address}:{PORT}"
    finally:
        process.kill()
        process.wait(10)


def holdings(cluster: Cluster) -> dict[str, set[str]]:
    """What each node has in etcd, but what its daemons say of themselves."""
    return {
        node.name: {word for word in held(cluster, node.name) if not word.startswith("/felix-py/")}
        for _, node in cluster.topology.nodes
    }


def told(cluster: Cluster) -> str:
    """What `felixctl status` says, whatever its exit status."""
    where = (*applied.NAMESPACE, f"daemonset/{applied.AGENT}", "-c", "felixctl", "--")
    command = cluster.kubectl.argv("exec", *where, "felixctl", "status")
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return done.stdout + done.stderr


def test_half_of_the_lists_takes_nothing_raises_an_alarm_and_is_forgotten_when_they_are_whole(
    cluster: Cluster,
) -> None:
    proof.scale(cluster.kubectl, PODS, SECONDS)
    assert eventually(lambda: disagreements(cluster) == [], 60), disagreements(cluster)
    before = holdings(cluster)
    assert len(before) > 2
    hurry(cluster)
    try:
        with half_lists(cluster) as url:
            configure(cluster, f"{SERVER}={url}")
            assert eventually(lambda: "in etcd no more" in told(cluster), 60), told(cluster)
            # The control: they really decide on these lists, and the graces are over by then.
            assert not eventually(
                lambda: holdings(cluster) != before, GRACE_SECONDS + QUARANTINE_SECONDS + 10
            )
            configure(cluster, f"{SERVER}-")
    finally:
        configure(cluster, f"{SERVER}-")
        calm(cluster)
    assert eventually(lambda: "in etcd no more" not in told(cluster), 60), told(cluster)
    assert holdings(cluster) == before
    assert truth.compare_ipam(truth.read_etcd(cluster_truth.etcdctl(cluster))) == []
