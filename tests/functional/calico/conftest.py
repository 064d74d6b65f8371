"""Calico's programs on the test's etcd."""

from __future__ import annotations

import pytest

from tests.support.calico import Calico, programs
from tests.support.etcd import EtcdServer


@pytest.fixture
def calico(etcd: EtcdServer) -> Calico:
    """Built at the first use, which takes minutes."""
    return Calico(programs(), etcd.endpoint)
