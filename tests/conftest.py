"""Fixtures that tests of several packages share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.etcd import EtcdServer

pytest_plugins = ["tests.support.golden", "tests.support.netns", "tests.support.skips"]


@pytest.fixture(scope="session")
def etcd_session() -> Iterator[EtcdServer]:
    """One etcd for the whole run."""
    with EtcdServer() as server:
        yield server


@pytest.fixture
def etcd(etcd_session: EtcdServer) -> Iterator[EtcdServer]:
    """That etcd with no key in it. A test that stops, wipes or pauses etcd starts its own."""
    etcd_session.delete_all()
    yield etcd_session
    etcd_session.delete_all()
