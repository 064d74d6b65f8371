"""Events to the received paths and to the speaker; peerings and announcements to ExaBGP."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from bgp.model import (
    Acknowledged,
    EndOfRib,
    Family,
    IPNetwork,
    PathsReceived,
    PeerDown,
    PeerOpened,
    PeerUp,
    RelayAttached,
    Unreadable,
)
from bgp.sessions import Sessions
from tests.support.bgp_cluster import path
from tests.unit.bgp.test_loop import started
from tests.unit.bgp.world import World

PEER, TOR = ip_address("10.0.0.2"), ip_address("10.0.0.9")
BLOCK = ip_network("10.244.1.0/26")


@pytest.fixture
def world() -> World:
    made = started()
    made.settle()
    return made


@pytest.fixture
def sessions(world: World) -> Sessions:
    return world.agent.sessions


def heard(world: World) -> set[IPNetwork]:
    return set(world.agent.rib.prefixes())


def test_paths_are_taken_in_and_withdrawn(world: World, sessions: Sessions) -> None:
    one = path("10.244.3.0/26", "10.0.0.2")
    sessions.handle(PathsReceived(PEER, (), (one,)))
    assert one.prefixes[0] in heard(world)
    sessions.handle(PathsReceived(PEER, one.prefixes, ()))
    assert one.prefixes[0] not in heard(world)


def test_a_peer_nobody_expects_is_not_listened_to(world: World, sessions: Sessions) -> None:
    stranger = ip_address("192.0.2.1")
    before = heard(world)
    for event in (
        PeerUp(stranger),
        PathsReceived(stranger, (), (path("10.244.3.0/26", "192.0.2.1"),)),
        EndOfRib(stranger, Family.IPV4),
        PeerDown(stranger, "gone"),
    ):
        sessions.handle(event)
    assert heard(world) == before


def test_only_families_that_both_speak_get_an_end_of_rib(world: World, sessions: Sessions) -> None:
    sessions.handle(PeerDown(PEER, "closing connection"))
    nothing = frozenset[Family]()
    sessions.handle(PeerOpened(PEER, 64512, nothing, None, nothing, restarting=False))
    sessions.handle(PeerUp(PEER))
    world.exabgp.asked.clear()
    for _ in range(5):
        world.round()
    assert not [line for line in world.exabgp.asked if "announce eor" in line]


def test_what_cannot_be_understood_is_counted_and_changes_nothing(
    world: World, sessions: Sessions
) -> None:
    before = heard(world)
    sessions.handle(Unreadable("{", "no JSON"))
    sessions.handle(Acknowledged(ok=False))
    assert sessions.unreadable == 1
    assert heard(world) == before


def test_another_announcement_reaches_every_peer_that_is_up(
    world: World, sessions: Sessions
) -> None:
    assert world.out() == {PEER: {str(BLOCK)}}
    sessions.say({})
    for _ in range(3):
        world.round()
    assert world.out() == {PEER: set()}
    assert sessions.spoken_to(PEER)
    assert not sessions.spoken_to(TOR)


def test_after_an_attach_nothing_counts_as_said_before_it_is_read_back(
    world: World, sessions: Sessions
) -> None:
    assert sessions.spoken_to(PEER)
    sessions.handle(RelayAttached("other", world.exabgp.pid, lost=True, connection=99))
    assert not sessions.spoken_to(PEER)


def test_commands_of_another_connection_are_not_sent(world: World) -> None:
    asked = len(world.exabgp.asked)
    world.exabgp.attach()
    world.agent.dialogue.ask("version")
    assert len(world.exabgp.asked) == asked
    world.settle()
    assert len(world.exabgp.asked) > asked
    assert world.out() == world.expected_out()
