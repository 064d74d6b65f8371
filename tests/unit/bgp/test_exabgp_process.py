"""The agent's view of ExaBGP, with ExaBGP's side and its parser played by the test."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, ip_address, ip_network

import pytest

from bgp.dialogue import Dialogue
from bgp.exabgp_process import CONFIRM_TRIES, ExabgpProcess
from bgp.exabgp_watch import Watch
from bgp.model import (
    Attributes,
    Event,
    Family,
    PeerDown,
    Peering,
    PeerOpened,
    PeerUp,
    RelayAttached,
)
from bgp.speaker import Speaker
from tests.unit.bgp.launchers import FakeLauncher
from tests.unit.bgp.world import MemoryFiles, parse

TOO_LARGE_AS = 2**40


class Bench:
    """A process view with a clock of its own and an ExaBGP that answers as told."""

    def __init__(self, files: MemoryFiles) -> None:
        self.now = 1000.0
        self.sent: list[str] = []
        self.asked: list[str] = []
        self.events: list[Event] = []
        self.has: list[Peering] = []
        self.takes_reloads = True
        self.connected = True
        self.launcher = FakeLauncher()
        self.files = files
        self.loaded = ""
        self.dialogue = Dialogue(self._send, lambda: self.now)
        self.speaker = Speaker(self.dialogue, lambda: self.now)
        self.watch = Watch(self.dialogue, self.launcher, lambda: self.connected)
        self.process = ExabgpProcess(
            "/usr/bin/python3 -I /relay.py /relay.sock",
            files,  # type: ignore[arg-type]
            self.dialogue,
            self.speaker,
            self.watch,
            self.events.append,
        )
        self.wanted: Sequence[Peering] = ()

    def _send(self, lines: Sequence[str]) -> None:
        self.sent += lines
        self.asked += lines

    def want(self, *peerings: Peering) -> None:
        self.wanted = peerings
        self.process.want(peerings)

    def attach(self, pid: int = 77) -> None:
        self.sent.clear()
        self.process.attached(RelayAttached("1", pid, lost=False), self.now)

    def answer(self) -> None:
        while self.sent:
            command = self.sent.pop(0)
            if command == "reload" and self.takes_reloads:
                self.has, self.loaded = list(self.wanted), self.files.text or ""
            if command == "show neighbor json":
                self.dialogue.reply(json.dumps([shown(one) for one in self.has]))
            if command.endswith("configuration"):
                block = parse(self.loaded).get(ip_address(command.split()[2]), "")
                for line in block.splitlines():
                    self.dialogue.reply(line)
            self.dialogue.acknowledged(True)

    def until(self, condition: Callable[[], bool]) -> None:
        """Steps of 0.1 s."""
        for _ in range(600):
            self.process.step(self.now)
            self.speaker.flush()
            self.answer()
            if condition():
                return
            self.now += 0.1
        raise AssertionError("it never came true")


def shown(peering: Peering, *, up: bool = True) -> dict[str, object]:
    return {
        "fsm": "ESTABLISHED" if up else "ACTIVE",
        "local": {"address": str(peering.local), "as": peering.local_as, "hold": peering.hold_seconds},
        "peer": {
            "address": str(peering.peer), "as": peering.peer_as,
            "families": {"ipv4 unicast": up}, "capabilities": {"graceful-restart": True},
        },
    }  # fmt: skip


def peering(number: int, **changes: object) -> Peering:
    values: dict[str, object] = {
        "peer": ip_address(f"10.0.0.{number}"),
        "local": ip_address("10.0.0.1"),
        "local_as": 64512,
        "peer_as": 64512,
        "router_id": IPv4Address("10.0.0.1"),
        **changes,
    }
    return Peering(**values)  # type: ignore[arg-type]


@pytest.fixture
def bench() -> Bench:
    return Bench(MemoryFiles())


def test_a_wanted_peering_is_validated_written_reloaded_and_confirmed(bench: Bench) -> None:
    bench.attach()
    bench.want(peering(2))
    bench.until(lambda: bench.process.confirmed)
    assert "neighbor 10.0.0.2 {" in (bench.files.text or "")
    assert bench.files.listen == ((ip_address("10.0.0.1"),), 179)
    assert "reload" in bench.asked


def test_an_agent_that_finds_its_configuration_in_place_writes_nothing(bench: Bench) -> None:
    bench.attach()
    bench.want(peering(2))
    bench.until(lambda: bench.process.confirmed)
    before = bench.files.checked
    fresh = Bench(bench.files)
    fresh.has, fresh.loaded = [peering(2)], bench.loaded
    fresh.attach()
    fresh.want(peering(2))
    fresh.until(lambda: fresh.process.confirmed)
    assert bench.files.checked == before


def test_what_exabgp_cannot_take_is_left_out_and_named(bench: Bench) -> None:
    bench.attach()
    bench.want(peering(2), peering(3, password='"'))
    assert "peer 10.0.0.3: password" in bench.process.problem
    bench.wanted = [peering(2)]
    bench.until(lambda: bench.process.confirmed)


def test_a_refused_configuration_is_not_put_in_place_and_tried_again_later(bench: Bench) -> None:
    bench.attach()
    bench.want(peering(2, peer_as=TOO_LARGE_AS))
    bench.until(lambda: "refuses" in bench.process.problem)
    assert bench.files.text is None
    assert bench.files.discarded == 1
    bench.want(peering(2))
    bench.until(lambda: bench.process.confirmed)
    assert bench.process.problem == ""


def test_reloads_without_effect_end_in_another_exabgp(bench: Bench) -> None:
    bench.attach()
    bench.takes_reloads = False
    bench.want(peering(2))
    bench.until(lambda: bench.launcher.killed == [77])
    assert bench.asked.count("reload") == CONFIRM_TRIES
    bench.takes_reloads = True
    bench.attach(78)
    bench.until(lambda: bench.process.confirmed)


def test_a_leaving_peer_hears_withdrawals_before_the_configuration_changes(bench: Bench) -> None:
    bench.attach()
    bench.want(peering(2), peering(3))
    bench.until(lambda: bench.process.confirmed)
    bench.speaker.set(ip_address("10.0.0.3"), {})
    bench.speaker.session_up(ip_address("10.0.0.3"))
    left_at = bench.now
    bench.want(peering(2))
    bench.until(lambda: bench.process.confirmed)
    assert bench.now >= left_at + 1.0
    assert not bench.speaker.is_up(ip_address("10.0.0.3"))


def test_sessions_found_at_attach_are_told_as_events_and_asked_for_their_routes(
    bench: Bench,
) -> None:
    bench.has = [peering(2)]
    bench.attach()
    bench.answer()
    assert [type(event) for event in bench.events] == [PeerOpened, PeerUp]
    bench.answer()
    assert "neighbor 10.0.0.2 announce route-refresh ipv4 unicast" in bench.asked


def test_sessions_found_down_are_told_too(bench: Bench) -> None:
    bench.attach()
    bench.sent.clear()
    bench.dialogue.reply(json.dumps([shown(peering(2), up=False)]))
    bench.dialogue.acknowledged(True)
    assert bench.events == [PeerDown(ip_address("10.0.0.2"), "found down")]


def test_an_exabgp_that_owes_an_answer_for_a_third_of_the_hold_time_is_killed(bench: Bench) -> None:
    bench.attach()
    bench.want(peering(2, hold_seconds=9))
    bench.until(lambda: bench.process.confirmed)
    frozen_at = bench.now
    while not bench.launcher.killed:
        bench.now += 0.1
        bench.process.step(bench.now)
    assert bench.now - frozen_at <= 9 / 3 * 1.5 + 0.2
    assert bench.launcher.killed == [77]


def test_with_the_launcher_away_nothing_breaks(bench: Bench) -> None:
    bench.attach()
    bench.want(peering(2, hold_seconds=9))
    bench.until(lambda: bench.process.confirmed)
    bench.launcher.away = True
    for _ in range(100):
        bench.now += 0.1
        bench.process.step(bench.now)
    bench.launcher.away = False
    bench.now += 3
    bench.process.step(bench.now)
    assert bench.launcher.killed == [77]


def test_a_running_exabgp_whose_relay_cannot_be_reached_is_killed(bench: Bench) -> None:
    bench.connected = False
    for _ in range(200):
        bench.now += 0.1
        bench.process.step(bench.now)
    assert bench.launcher.killed == [77]


@pytest.mark.parametrize(
    "change",
    [
        {"password": "other"},
        {"ttl_security": 2},
        {"families": (Family.IPV4, Family.IPV6)},
        {"router_id": IPv4Address("10.0.0.7")},
        {"restart_seconds": 60},
    ],
)
def test_a_dropped_reload_is_noticed_whatever_changed(
    bench: Bench, change: dict[str, object]
) -> None:
    bench.attach()
    bench.want(peering(2))
    bench.until(lambda: bench.process.confirmed)
    bench.takes_reloads = False
    bench.want(peering(2, **change))
    bench.until(lambda: bench.asked.count("reload") == 4)
    assert not bench.process.confirmed
    bench.takes_reloads = True
    bench.until(lambda: bench.process.confirmed)
    assert bench.loaded == bench.files.text


def test_before_any_peering_is_wanted_nothing_is_installed(bench: Bench) -> None:
    bench.attach()
    bench.want()
    for _ in range(50):
        bench.now += 0.1
        bench.process.step(bench.now)
    assert bench.files.text is None
    bench.want(peering(2))
    bench.until(lambda: bench.process.confirmed)
    bench.want()
    bench.until(lambda: bench.process.confirmed)
    assert "neighbor" not in str(bench.files.text)


def test_who_does_not_leave_after_all_is_told_again(bench: Bench) -> None:
    bench.attach()
    bench.want(peering(2), peering(3))
    bench.until(lambda: bench.process.confirmed)
    three = ip_address("10.0.0.3")
    bench.speaker.set(three, {})
    bench.speaker.session_up(three)
    bench.want(peering(2))
    bench.process.step(bench.now)
    bench.now += 0.4
    bench.process.step(bench.now)
    bench.want(peering(2), peering(3))
    bench.until(lambda: bench.process.confirmed and bench.speaker.settled(three))
    routes = {ip_network("10.244.0.0/26"): Attributes("10.0.0.1")}
    bench.speaker.set(three, routes)
    bench.speaker.flush()
    bench.answer()
    assert bench.speaker.announced(three) == routes
