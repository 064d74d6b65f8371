"""What is held of a peer's paths when its session goes, and when it is swept."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from bgp.model import (
    EndOfRib,
    Event,
    Family,
    Heard,
    IPAddress,
    NotificationSeen,
    PathsReceived,
    PeerDown,
    PeerOpened,
    PeerUp,
    RefreshSeen,
    RelayAttached,
)
from bgp.rib_in import EOR_SECONDS, MAX_STALE_SECONDS, REFRESH_SECONDS, RELAY_AWAY_SECONDS, RibIn
from tests.support.bgp_cluster import path, peering

PEER = ip_address("10.0.0.2")
OTHER = ip_address("10.0.0.3")
A, B = "10.244.1.0/26", "10.244.2.0/26"


def opened(
    peer: IPAddress = PEER, seconds: int | None = 60, *, kept: bool = True, families: int = 1
) -> PeerOpened:
    spoken = frozenset([Family.IPV4, Family.IPV6][:families])
    return PeerOpened(
        peer, 64512, spoken, seconds, spoken if kept else frozenset(), restarting=False
    )


def update(*prefixes: str, peer: IPAddress = PEER, gone: tuple[str, ...] = ()) -> PathsReceived:
    withdrawn = tuple(ip_network(prefix) for prefix in gone)
    return PathsReceived(peer, withdrawn, tuple(path(p, str(peer)) for p in prefixes))


def rib(*events: Event, now: float = 0.0) -> RibIn:
    """A RIB with two peers, after these events."""
    made = RibIn()
    made.expect([peering(str(PEER)), peering(str(OTHER), max_prefixes=2)], now)
    for event in (RelayAttached("a", 1, lost=False), *events):
        made.handle(event, now)
    return made


def known(made: RibIn) -> dict[str, list[str]]:
    return {str(p): sorted(map(str, by)) for p, by in made.paths().items()}


def test_paths_are_kept_per_peer_and_withdrawn_per_peer() -> None:
    made = rib(update(A, B), update(A, peer=OTHER))
    assert known(made) == {A: ["10.0.0.2", "10.0.0.3"], B: ["10.0.0.2"]}
    made.take_dirty()
    made.handle(update(gone=(A,)), 1)
    assert known(made) == {A: ["10.0.0.3"], B: ["10.0.0.2"]}
    assert [str(p) for p in made.take_dirty()] == [A]
    assert not made.take_dirty()


def test_one_update_may_withdraw_and_announce_the_same_prefix() -> None:
    made = rib(update(A))
    made.handle(update(A, gone=(A,)), 1)
    assert known(made) == {A: ["10.0.0.2"]}


def test_a_session_that_breaks_keeps_its_paths_for_the_peers_restart_time() -> None:
    made = rib(opened(), PeerUp(PEER), update(A))
    made.handle(PeerDown(PEER, "closing connection"), 10)
    made.tick(69.9)
    assert known(made) == {A: ["10.0.0.2"]}
    made.tick(70)
    assert known(made) == {}


def test_no_restart_time_is_longer_than_our_own_bound() -> None:
    made = rib(opened(seconds=4000), PeerUp(PEER), update(A))
    made.handle(PeerDown(PEER, "closing connection"), 0)
    assert made.next_deadline() == MAX_STALE_SECONDS


@pytest.mark.parametrize("seconds", [None, 0])
def test_without_graceful_restart_a_broken_session_takes_its_paths_along(
    seconds: int | None,
) -> None:
    made = rib(opened(seconds=seconds), PeerUp(PEER), update(A))
    made.handle(PeerDown(PEER, "closing connection"), 1)
    assert known(made) == {}


def test_a_notification_takes_the_paths_along() -> None:
    made = rib(opened(), PeerUp(PEER), update(A))
    made.handle(NotificationSeen(PEER, 6, 2, "maintenance", sent=False), 1)
    made.handle(PeerDown(PEER, "notification received (6,2)"), 1)
    assert known(made) == {}
    assert made.peers()[PEER].reason == "maintenance"


def test_a_peer_that_comes_back_is_swept_at_its_end_of_rib() -> None:
    made = rib(opened(), PeerUp(PEER), update(A, B))
    made.handle(PeerDown(PEER, "closing connection"), 1)
    for event in (opened(), PeerUp(PEER), update(B)):
        made.handle(event, 5)
    assert set(known(made)) == {A, B}
    made.handle(EndOfRib(PEER, Family.IPV4), 6)
    assert set(known(made)) == {B}
    assert made.next_deadline() is None


def test_a_family_that_the_peer_does_not_speak_is_not_waited_for() -> None:
    made = RibIn()
    made.expect([peering(str(PEER), families=(Family.IPV4, Family.IPV6))], 0)
    for event in (opened(), PeerUp(PEER), update(A)):
        made.handle(event, 1)
    assert made.waiting_for() == [PEER]
    made.handle(EndOfRib(PEER, Family.IPV4), 2)
    assert made.waiting_for() == []


def test_end_of_rib_sweeps_its_own_family_only() -> None:
    six = "fd00:10::/122"
    made = RibIn()
    made.expect([peering(str(PEER), families=(Family.IPV4, Family.IPV6))], 0)
    for event in (opened(families=2), PeerUp(PEER), update(A), update(six)):
        made.handle(event, 0)
    made.handle(PeerDown(PEER, "closing connection"), 1)
    for back in (opened(families=2), PeerUp(PEER), EndOfRib(PEER, Family.IPV4)):
        made.handle(back, 2)
    assert set(known(made)) == {six}
    assert made.waiting_for() == [PEER]


def test_a_peer_that_lost_its_forwarding_state_loses_its_stale_paths_at_once() -> None:
    made = rib(opened(), PeerUp(PEER), update(A))
    made.handle(PeerDown(PEER, "closing connection"), 1)
    made.handle(opened(kept=False), 2)
    assert set(known(made)) == {A}
    made.handle(PeerUp(PEER), 2)
    assert known(made) == {}


def test_a_peer_that_never_sends_end_of_rib_counts_as_complete_after_a_while() -> None:
    made = rib(opened(), PeerUp(PEER), update(A, B))
    made.handle(PeerDown(PEER, "closing connection"), 1)
    for event in (opened(), PeerUp(PEER), update(B)):
        made.handle(event, 5)
    assert PEER in made.waiting_for()
    made.tick(5 + EOR_SECONDS)
    assert set(known(made)) == {B}
    assert PEER not in made.waiting_for()


def test_failed_attempts_to_connect_do_not_prolong_the_holding() -> None:
    made = rib(opened(), PeerUp(PEER), update(A))
    made.handle(PeerDown(PEER, "closing connection"), 1)
    made.handle(PeerDown(PEER, "connection refused"), 50)
    assert made.next_deadline() == 61


def test_another_exabgp_means_that_every_session_broke() -> None:
    made = rib(
        opened(), PeerUp(PEER), update(A), opened(OTHER, None), PeerUp(OTHER), update(B, peer=OTHER)
    )
    made.handle(RelayAttached("b", 2, lost=False), 10)
    assert set(known(made)) == {A}
    assert made.next_deadline() == 70
    for event in (opened(), PeerUp(PEER), update(A), EndOfRib(PEER, Family.IPV4)):
        made.handle(event, 12)
    made.tick(1000)
    assert set(known(made)) == {A}


def test_a_relay_that_is_away_for_a_moment_changes_nothing() -> None:
    made = rib(opened(seconds=None), PeerUp(PEER), update(A))
    made.relay_away(10)
    made.relay_away(12)
    made.tick(10 + RELAY_AWAY_SECONDS - 0.1)
    made.handle(RelayAttached("a", 1, lost=False), 14.9)
    made.tick(100)
    assert set(known(made)) == {A}


def test_a_relay_that_stays_away_took_exabgp_with_it() -> None:
    made = rib(opened(), PeerUp(PEER), update(A))
    made.relay_away(10)
    made.tick(10 + RELAY_AWAY_SECONDS)
    assert set(known(made)) == {A}
    made.tick(10 + RELAY_AWAY_SECONDS + 60)
    assert known(made) == {}


def test_a_session_told_anew_is_resynchronised_without_losing_a_path() -> None:
    made = rib(opened(seconds=None, kept=False), PeerUp(PEER), update(A, B))
    made.handle(EndOfRib(PEER, Family.IPV4), 0)
    made.handle(RelayAttached("c", 1, lost=True), 10)
    made.handle(opened(seconds=None, kept=False), 10)
    made.handle(PeerUp(PEER), 10)
    assert set(known(made)) == {A, B}
    made.handle(RefreshSeen(PEER, Family.IPV4, "begin"), 11)
    made.handle(update(B), 11)
    made.handle(RefreshSeen(PEER, Family.IPV4, "end"), 11)
    assert set(known(made)) == {B}


def test_a_peer_that_only_helps_others_restart_has_its_paths_dropped() -> None:
    helper = PeerOpened(
        PEER,
        64512,
        frozenset({Family.IPV4}),
        120,
        frozenset(),
        restarting=False,
        graceful=frozenset(),
    )
    made = rib(helper, PeerUp(PEER), update(A))
    made.handle(PeerDown(PEER, "closing connection"), 1)
    assert known(made) == {}


def test_what_is_told_anew_of_a_session_does_not_replace_its_open() -> None:
    made = rib(opened(seconds=0), PeerUp(PEER), update(A))
    made.handle(opened(seconds=120), 5)
    made.handle(PeerUp(PEER), 5)
    made.handle(PeerDown(PEER, "closing connection"), 6)
    assert known(made) == {}


def test_a_refresh_without_an_end_is_complete_after_a_while() -> None:
    made = rib(opened(), PeerUp(PEER), update(A, B))
    made.handle(PeerUp(PEER), 10)
    made.handle(update(B), 11)
    made.tick(10 + REFRESH_SECONDS)
    assert set(known(made)) == {B}
    assert PEER not in made.waiting_for()


def test_a_peer_that_is_no_longer_expected_leaves_nothing() -> None:
    made = rib(opened(), PeerUp(PEER), update(A))
    made.take_dirty()
    made.expect([peering(str(OTHER))], 1)
    assert known(made) == {}
    assert [str(p) for p in made.take_dirty()] == [A]
    made.handle(update(B), 2)
    assert known(made) == {}


def test_memory_is_bounded_and_what_was_not_stored_is_asked_for_again() -> None:
    many = [f"10.244.{i}.0/26" for i in range(10)]
    made = rib(opened(OTHER), PeerUp(OTHER), update(*many, peer=OTHER))
    assert len(known(made)) == 8
    assert made.peers()[OTHER].not_stored == 2
    made.handle(update(peer=OTHER, gone=tuple(many[:4])), 1)
    assert made.take_refreshes() == [(OTHER, Family.IPV4)]
    assert made.take_refreshes() == []


def test_prefixes_of_one_update_are_kept_beside_other_peers_paths_whatever_the_order() -> None:
    made = rib(update(B, peer=OTHER), update(A, B, A), update(B, A))
    assert known(made) == {A: ["10.0.0.2"], B: ["10.0.0.2", "10.0.0.3"]}
    made.handle(update(gone=(B,), peer=OTHER), 1)
    made.handle(update(B), 1)
    assert known(made) == {A: ["10.0.0.2"], B: ["10.0.0.2"]}


def test_an_update_over_the_bound_is_remembered_up_to_it_and_the_rest_counted() -> None:
    made = rib()
    many = [f"10.244.{number}.0/26" for number in range(12)]
    heard = Heard(tuple(map(ip_network, [*many, many[0]])), path(A, str(OTHER)).path)
    made.handle(PathsReceived(OTHER, (), (heard,)), 0)
    peer = made.peers()[OTHER]
    assert list(map(str, peer.paths)) == many[:8], "four times its prefix limit of two"
    assert peer.not_stored == 4
    made.handle(PathsReceived(OTHER, (), (heard,)), 1)
    assert len(peer.paths) == 8
