"""Probes by HTTP: what a kubelet is told."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from felix_py.runtime import health_server
from felix_py.runtime.clock import FakeClock
from felix_py.runtime.health import Health
from felix_py.runtime.settings import BadSettings


class Probed:
    """A health that is served, and its clock."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.health = Health(self.clock)
        self.server = health_server.start(self.health, "127.0.0.1", 0, "felix.healthPort")
        self.port = self.server.server_address[1]

    def ask(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode().strip()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode().strip()


@pytest.fixture
def probed() -> Iterator[Probed]:
    made = Probed()
    yield made
    made.server.shutdown()
    made.server.server_close()


def test_all_is_well_until_somebody_says_otherwise(probed: Probed) -> None:
    assert probed.ask("/readiness") == (200, "ready")
    assert probed.ask("/liveness") == (200, "live")
    assert probed.ask("/other")[0] == 404


def test_readiness_names_all_that_is_missing_and_liveness_does_not_care(probed: Probed) -> None:
    probed.health.note("kernel", "no permission")
    probed.health.note("etcd", "no answer")
    assert probed.ask("/readiness?verbose") == (
        503,
        "not ready: etcd: no answer; kernel: no permission",
    )
    assert probed.ask("/liveness") == (200, "live")
    probed.health.note("kernel", None)
    probed.health.note("etcd", None)
    assert probed.ask("/readiness") == (200, "ready")


def test_a_loop_that_does_not_come_round_is_what_a_restart_cures(probed: Probed) -> None:
    probed.health.not_ready("etcd", "no answer")
    probed.health.beat("felix", 30)
    probed.clock.advance(31)
    assert probed.ask("/liveness") == (503, "not live: felix: has not come round in time")
    assert probed.ask("/readiness")[1].startswith("not ready: etcd: no answer; felix: has")


def test_a_port_that_is_taken_names_the_setting(probed: Probed) -> None:
    with pytest.raises(BadSettings, match=r"felix\.healthPort: 127\.0\.0\.1:\d+ cannot be"):
        health_server.serve(Health(FakeClock()), "127.0.0.1", probed.port, "felix.healthPort")
    assert health_server.serve(Health(FakeClock()), "127.0.0.1", 0, "x") == 0
