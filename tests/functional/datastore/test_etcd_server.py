"""The test etcd itself: what others' tests rely on."""

from __future__ import annotations

import pytest

from tests.support.etcd import EtcdServer

pytestmark = pytest.mark.etcd


def test_the_shared_etcd_starts_empty_and_keeps_what_is_put(etcd: EtcdServer) -> None:
    assert etcd.dump() == {}
    etcd.put("/calico/x", "one\ntwo")
    assert etcd.dump("/calico/") == {"/calico/x": "one\ntwo"}


def test_a_restart_keeps_data_a_wipe_loses_it_and_a_restore_brings_it_back() -> None:
    with EtcdServer() as server:
        server.put("/calico/x", "1")
        server.restart()
        assert server.dump() == {"/calico/x": "1"}
        saved = server.snapshot()
        server.wipe()
        assert server.dump() == {}
        server.restore(saved)
        assert server.dump() == {"/calico/x": "1"}
        directory = server.directory
    assert not directory.exists()


def test_tls_and_auth_are_really_asked_for() -> None:
    with EtcdServer(tls=True, auth=True) as server:
        server.put("/calico/x", "1")
        assert server.dump() == {"/calico/x": "1"}
