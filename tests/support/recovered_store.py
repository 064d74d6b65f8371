"""What a store that went back must have become again, and a lab in which it does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.lab import Lab, eventually
from tests.support.lost_store import Cluster

GO_ON_SECONDS = 20.0
"""Daemons look once a second, the BGP agent gives the others two more; a busy host is slower."""
SETTLE_SECONDS = 20.0
BY_ITSELF_SECONDS = 90.0
"""A recovery takes ten seconds after its question; a busy host is slower."""


@dataclass(frozen=True)
class Before:
    """What stands in the kernels and in the pods."""

    links: set[tuple[str, int, str]]
    routes: set[tuple[str, str, str]]
    inside: dict[str, str]

    @classmethod
    def of(cls, cluster: Cluster) -> Before:
        return cls(cluster.pod_links(), cluster.pod_routes(), cluster.inside())


def recovered(cluster: Cluster, since: int, before: Before) -> None:
    """What lived lives on and is registered, no other was given its address at any revision, all goes on."""
    assert cluster.doubles() == []
    assert cluster.given_away(cluster.containers(), since) == []
    now = Before.of(cluster)
    assert now.links >= before.links
    assert now.routes >= before.routes
    assert now.inside.items() >= before.inside.items()
    assert eventually(cluster.agree, SETTLE_SECONDS), cluster.disagreements()
    assert cluster.cluster_information()["spec"]["datastoreReady"] is True
    assert eventually(lambda: not cluster.recovery_keys(), SETTLE_SECONDS), cluster.recovery_keys()


@contextmanager
def tight_lab(directory: Path) -> Iterator[Lab]:
    """The default topology in a pool of 64 addresses and blocks of four: there is no room to hide."""
    source = Path(__file__).parents[2] / "felix_py/lab/topologies/default.yaml"
    text = source.read_text().replace(
        "10.244.0.0/16, blockSize: 26", "10.244.0.0/26, blockSize: 30"
    )
    assert "10.244.0.0/26" in text
    topology = directory / "tight.yaml"
    topology.write_text(text)
    made = Lab(directory)
    made.up(str(topology))
    try:
        yield made
    finally:
        made.down()
