"""What the agent says of itself: complete, bounded, and never a password."""

from __future__ import annotations

import json
from ipaddress import ip_address, ip_network
from typing import Any

from bgp.model import NotificationSeen, PathsReceived, PeerDown, PeerUp
from bgp.rib_in import RibIn
from bgp.status import (
    RouteReport,
    SessionReport,
    Troubles,
    document,
)
from felix_py.datastore.changes import StoreState
from felix_py.datastore.status_document import MAX_NAMED, Identity
from tests.support.bgp_cluster import path, peering

ME = Identity("bgp", "node-1", 7, "1.0", "2026-01-01T00:00:00Z")
STORE = StoreState(in_sync=True, connected=False, frozen="the store went back", revision=9)
PEER = ip_address("10.0.0.2")


def told_of(report: SessionReport) -> dict[str, Any]:
    """The one session of a status."""
    listed = document(ME, STORE, [report], [], RouteReport(), Troubles())["sessions"]
    assert isinstance(listed, list)
    assert "s3cret" not in json.dumps(listed)
    [only] = listed
    assert isinstance(only, dict)
    return only


def test_a_session_is_told_with_what_was_heard_and_why_it_is_down() -> None:
    rib, session = RibIn(), peering("10.0.0.2", source="mesh node-2", password="s3cret")
    rib.expect([session], 0)
    rib.handle(PeerUp(PEER), 1)
    rib.handle(PathsReceived(PEER, (), (path("10.244.2.0/26", "10.0.0.2"),)), 1)
    report = SessionReport(session, rib.peers()[PEER], settled=True, over_limit=False)
    told = told_of(report)
    assert (told["state"], told["received"], told["announcedAll"]) == ("up", 1, True)
    rib.handle(NotificationSeen(PEER, 6, 2, "maintenance", sent=False), 2)
    rib.handle(PeerDown(PEER, "closing connection"), 2)
    told = told_of(report)
    assert (told["state"], told["reason"], told["received"]) == ("down", "maintenance", 0)


def test_a_session_nothing_is_known_of_yet_counts_as_down() -> None:
    report = SessionReport(peering("10.0.0.2"), None, settled=False, over_limit=False)
    told = told_of(report)
    assert (told["state"], told["received"]) == ("down", 0)


def test_the_store_is_told_as_it_stands() -> None:
    told = document(ME, STORE, [], [], RouteReport(), Troubles())
    assert told["store"] == {
        "inSync": True,
        "connected": False,
        "frozen": "the store went back",
        "revision": 9,
    }


def test_troubles_are_named_in_order_and_only_so_many() -> None:
    many = {f"BGPPeer p{number:04}": "no" for number in range(10 * MAX_NAMED)}
    unresolved = {ip_address(f"10.1.{n // 256}.{n % 256}"): "no route" for n in range(1000)}
    told = document(
        ME,
        STORE,
        [],
        [ip_network("10.244.9.0/26"), ip_network("10.244.1.0/26")],
        RouteReport(refused={"outside pools": 70000}, unresolved=unresolved),
        Troubles(many, tuple(many), many, "no launcher"),
    )
    assert told["announced"] == ["10.244.1.0/26", "10.244.9.0/26"]
    learned = told["learned"]
    assert isinstance(learned, dict)
    assert learned["refused"] == [{"reason": "outside pools", "paths": 70000, "examples": []}]
    for named in (
        told["refusedPeerings"],
        told["invalid"],
        told["warnings"],
        learned["unresolvedNextHops"],
    ):
        assert isinstance(named, list)
        assert len(named) == MAX_NAMED
    assert told["exabgp"] == {"problem": "no launcher"}
    assert len(json.dumps(told)) < 30_000
