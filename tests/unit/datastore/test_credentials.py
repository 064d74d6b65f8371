"""Certificates that come later than the daemon: it waits, says what for, and can be stopped."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from felix_py.datastore import credentials
from felix_py.datastore.settings import DatastoreSettings
from felix_py.runtime.clock import FakeClock
from felix_py.runtime.health import Health


class Stop(threading.Event):
    """A stop event that does something at each wait, and stops after so many."""

    def __init__(self, *actions: object) -> None:
        super().__init__()
        self.actions = list(actions)

    def wait(self, timeout: float | None = None) -> bool:
        del timeout
        if not self.actions:
            return True
        action = self.actions.pop(0)
        if callable(action):
            action()
        return False


def settings(directory: Path) -> DatastoreSettings:
    return DatastoreSettings(
        ca_cert_file=str(directory / "ca.crt"),
        cert_file=str(directory / "tls.crt"),
        key_file=str(directory / "tls.key"),
    )


def test_without_named_files_nothing_is_waited_for() -> None:
    health = Health(FakeClock())
    assert credentials.wait(DatastoreSettings(), health, Stop())
    assert health.report().ready


def test_files_that_come_late_are_waited_for_and_named(tmp_path: Path) -> None:
    health, seen = Health(FakeClock()), []

    def make(*names: str) -> None:
        seen.append(health.report().why["etcd certificates"])
        for name in names:
            (tmp_path / name).write_text("pem")

    (tmp_path / "tls.key").touch()
    stop = Stop(lambda: make("ca.crt", "tls.crt"), lambda: make("tls.key"))
    assert credentials.wait(settings(tmp_path), health, stop)
    assert "caCertFile" in seen[0]
    assert "caCertFile" not in seen[1]
    assert "keyFile" in seen[1]
    assert health.report().ready


def test_a_stop_ends_the_waiting_and_the_log_is_bounded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not credentials.wait(settings(tmp_path), Health(FakeClock()), Stop(*range(130)))
    assert capsys.readouterr().out.count("waiting for etcd's certificates") == 3
