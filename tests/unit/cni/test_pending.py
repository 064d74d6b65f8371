from __future__ import annotations

import threading
from pathlib import Path

import pytest

from cni import pending as module
from cni.errors import TryAgain
from cni.pending import PendingDels, Settler
from felix_py.datastore.errors import StoreAway
from felix_py.datastore.keys import ResourceKey
from felix_py.datastore.model import HandleId, Kind
from felix_py.runtime.clock import FakeClock
from ipam.errors import NotYours
from ipam.requests import ReleaseRequest

GO_ON = threading.Event()


def _release(name: str) -> ReleaseRequest:
    key = ResourceKey(Kind.WORKLOAD_ENDPOINT, f"n1-cni-{name}-eth0", "default")
    return ReleaseRequest(HandleId(f"net.{name}"), name, key)


def test_a_pending_del_outlives_its_process(tmp_path: Path) -> None:
    PendingDels(str(tmp_path)).add(_release("a"))
    again = PendingDels(str(tmp_path)).get(HandleId("net.a"))
    assert again is not None
    assert again.release == _release("a")


def test_settled_dels_are_gone_from_disk(tmp_path: Path) -> None:
    pending = PendingDels(str(tmp_path))
    pending.add(_release("a"))
    pending.stalled = True
    clock = FakeClock()
    Settler(pending, pending.remove, clock).step(GO_ON)
    assert len(pending) == len(PendingDels(str(tmp_path))) == 0
    assert not pending.stalled


def test_while_the_store_is_away_the_settler_backs_off(tmp_path: Path) -> None:
    pending = PendingDels(str(tmp_path))
    pending.add(_release("a"))
    pending.add(_release("b"))
    pending.stalled = True
    tries: list[str] = []

    def away(handle: HandleId) -> None:
        tries.append(handle)
        raise StoreAway("x")

    clock = FakeClock()
    settler = Settler(pending, away, clock)
    for _ in range(8):
        settler.step(GO_ON)
        clock.advance(0.25)
    assert len(tries) == 3  # at 0, 0.5 and 1.5 seconds
    assert pending.stalled
    assert len(pending) == 2


def test_one_refused_del_does_not_hold_up_the_others(tmp_path: Path) -> None:
    pending = PendingDels(str(tmp_path))
    pending.add(_release("a"))
    pending.add(_release("b"))
    pending.stalled = True

    def settle(handle: HandleId) -> None:
        if handle == "net.a":
            raise NotYours("x")
        pending.remove(handle)

    Settler(pending, settle, FakeClock()).step(GO_ON)
    assert [one.handle for one in pending.all()] == ["net.a"]
    assert not pending.stalled


def test_at_the_bound_del_is_asked_to_come_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_PENDING", 1)
    pending = PendingDels(str(tmp_path))
    pending.add(_release("a"))
    pending.add(_release("a"))
    with pytest.raises(TryAgain):
        pending.add(_release("b"))


def test_an_unreadable_file_disturbs_nothing_else(tmp_path: Path) -> None:
    PendingDels(str(tmp_path)).add(_release("a"))
    (tmp_path / "pending-del" / "x.json").write_bytes(b"\xff")
    assert len(PendingDels(str(tmp_path))) == 1
