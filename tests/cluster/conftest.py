"""Clusters for tests: one at a time, brought up when it is first asked for."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from image import __main__ as image
from image import build
from tests.support import cluster as support
from tests.support.cluster import UP_SECONDS, Cluster
from tests.support.installed import MANIFESTS
from tests.support.lab import Lab


class Clusters:
    """Of each topology one for the whole run; asking for another takes the one before down."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._up: dict[str, Cluster] = {}
        self.host_before = support.host_state()

    def get(self, topology: str) -> Cluster:
        """The cluster of this topology, up."""
        if topology not in self._up:
            self.down()
            self._up[topology] = support.up(self._directory, topology)
        return self._up[topology]

    def down(self) -> None:
        """All of them."""
        for cluster in self._up.values():
            cluster.lab.felix_lab("down", check=False)
        self._up.clear()


@pytest.fixture(scope="session")
def clusters(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clusters]:
    """The clusters of this run."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    made = Clusters(tmp_path_factory.mktemp("clusters"))
    yield made
    made.down()


@pytest.fixture
def cluster(clusters: Clusters) -> Cluster:
    """Two racks; a test that changes something puts it back."""
    return clusters.get("cluster")


@pytest.fixture
def plain(clusters: Clusters) -> Cluster:
    """One subnet, and a router that knows no pod."""
    return clusters.get("cluster-plain")


@pytest.fixture(scope="session")
def installed(clusters: Clusters, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One subnet, three nodes, and the manifest as it is."""
    clusters.down()
    directory = tmp_path_factory.mktemp("manifest")
    image.write(directory, build.version())
    images = [word for path in directory.glob("*.tar") for word in ("--image", str(path))]
    lab = Lab(directory)
    manifest = ["--manifest", str(MANIFESTS / "felix-py.yaml")]
    try:
        done = lab.felix_lab("up", "cluster-plain", *images, *manifest, seconds=UP_SECONDS)
        yield Cluster(lab, done.stdout)
    finally:
        lab.felix_lab("down", check=False)


ORDER = ({"cluster", "proxied", "asked"}, {"plain"})
"""Fixtures of one cluster, then of the next one."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of one cluster together, and what needs none or its own last: each comes up once, and goes
    before the next.
    """

    def place(item: pytest.Item) -> int:
        used = set(getattr(item, "fixturenames", ()))
        return next((n for n, names in enumerate(ORDER) if names & used), len(ORDER))

    items.sort(key=place)
