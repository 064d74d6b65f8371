"""Fixtures that tests of several packages share."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.support.etcd import EtcdServer

settings.register_profile(
    "quick", max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("thorough", settings.get_profile("quick"), max_examples=500)
settings.load_profile(os.environ.get("FELIX_PY_EXAMPLES", "quick"))
"""Quick for every run; `FELIX_PY_EXAMPLES=thorough make unit` looks for longer."""

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
