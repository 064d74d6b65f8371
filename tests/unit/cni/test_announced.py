from __future__ import annotations

from typing import Any

import pytest

from cni.announced import incomplete, missing


def _status(*sessions: dict[str, Any], in_sync: bool = True, problem: str = "") -> dict[str, Any]:
    return {
        "store": {"inSync": in_sync},
        "exabgp": {"problem": problem},
        "sessions": list(sessions),
    }


def _session(peer: str, state: str = "up", *, told: bool = True) -> dict[str, Any]:
    return {"peer": peer, "state": state, "announcedAll": told}


@pytest.mark.parametrize(
    "status",
    [
        _status(),
        _status(_session("192.0.2.1")),
        _status(_session("192.0.2.1"), _session("192.0.2.2", "down", told=False)),
    ],
)
def test_nothing_is_missing_when_every_peer_that_is_up_heard_it_or_there_is_none(
    status: dict[str, Any],
) -> None:
    assert missing(status) is None


@pytest.mark.parametrize(
    ("status", "waits_for"),
    [
        (None, "not reported"),
        ({}, "not read etcd"),
        (_status(in_sync=False), "not read etcd"),
        (_status(_session("192.0.2.1"), problem="not running"), "ExaBGP: not running"),
        (_status(_session("192.0.2.1", "down", told=False)), "no BGP session is up"),
        (_status(_session("192.0.2.1"), _session("192.0.2.2", told=False)), "192.0.2.2"),
    ],
)
def test_what_it_waits_for_is_said(status: dict[str, Any] | None, waits_for: str) -> None:
    assert waits_for in str(missing(status))


def test_what_may_still_come_is_said() -> None:
    up, down = _session("192.0.2.1"), _session("192.0.2.2", "down")
    assert incomplete(_status(up)) is None
    assert incomplete(_status()) == "no peer is known yet"
    assert incomplete(_status(up, down)) == "the session with 192.0.2.2 is not up yet"
