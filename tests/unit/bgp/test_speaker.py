"""The speaker against an ExaBGP that remembers: what it holds ends as wanted, whatever happens between."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Sequence
from ipaddress import ip_address, ip_network

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from bgp.dialogue import MAX_UNACKED_COMMANDS, Dialogue
from bgp.model import Attributes, Family, IPAddress, IPNetwork
from bgp.speaker import Speaker

A, B = ip_address("10.0.0.2"), ip_address("10.0.0.3")
SELF = Attributes(next_hop="10.0.0.1")
OTHER = Attributes(next_hop="10.0.0.1", med=7)
PREFIXES = [ip_network(f"192.168.{number}.0/26") for number in range(4)]


class RememberingExabgp:
    """ExaBGP's adj-rib-out per neighbour, its answers, and the trap of pending changes."""

    def __init__(self) -> None:
        self.holds: dict[IPAddress, dict[IPNetwork, Attributes]] = {A: {}, B: {}}
        self.eors: list[tuple[IPAddress, str]] = []
        self.lines: list[str] = []
        self.queue: deque[str] = deque()
        self.refuse = 0
        self.named: set[IPAddress] = set()

    def send(self, lines: Sequence[str]) -> bool:
        self.lines += lines
        self.queue += lines
        return True

    def answer(self, reply: Callable[[str], None], acknowledged: Callable[[bool], None]) -> None:
        """Carry out the oldest command."""
        command = self.queue.popleft()
        if self.refuse:
            self.refuse -= 1
            acknowledged(False)
            return
        for text in self._carry_out(command):
            reply(text)
        acknowledged(True)

    def _carry_out(self, command: str) -> list[str]:
        if command.startswith("show adj-rib out"):
            return [
                shown(peer, prefix, a)
                for peer, held in self.holds.items()
                for prefix, a in held.items()
            ]
        head, _, rest = command.partition(" announce " if " announce " in command else " withdraw ")
        peers = [ip_address(part.removeprefix("neighbor ")) for part in head.split(", ")]
        self.named.update(peers)
        if rest.startswith("eor"):
            self.eors += [(peer, rest.removeprefix("eor ")) for peer in peers]
            return []
        words, _, prefixes = rest.partition(" nlri ")
        attributes = OTHER if "med 7" in words else SELF
        for peer in peers:
            for prefix in map(ip_network, prefixes.split()):
                if " withdraw " in command:
                    assert self.holds[peer][prefix] == attributes, "withdrawn with other attributes"
                    del self.holds[peer][prefix]
                else:
                    self.holds[peer][prefix] = attributes
        return []


def shown(peer: IPAddress, prefix: IPNetwork, attributes: Attributes) -> str:
    more = {"med": attributes.med} if attributes.med is not None else {}
    return json.dumps(
        {
            "peer": {"address": str(peer)},
            "route": {
                "nlri": {"prefix": str(prefix), "nexthop": attributes.next_hop},
                "attributes": {"origin": "igp", "next-hop": attributes.next_hop, **more},
            },
        }
    )


class Bench:
    """A speaker, its dialogue and the ExaBGP in memory."""

    def __init__(self) -> None:
        self.now = 0.0
        self.exabgp = RememberingExabgp()
        self.dialogue = Dialogue(self.exabgp.send, lambda: self.now)
        self.speaker = Speaker(self.dialogue, lambda: self.now)
        self.dialogue.attach()

    def answer_all(self) -> None:
        for _ in range(1000):
            self.now += 2
            self.speaker.flush()
            if not self.exabgp.queue:
                return
            while self.exabgp.queue:
                self.exabgp.answer(self.dialogue.reply, self.speaker.acknowledged)
        raise AssertionError("the speaker never comes to rest")


def test_nothing_is_said_before_the_peer_is_up_and_wanted_routes_are_known() -> None:
    bench = Bench()
    bench.speaker.session_up(A)
    bench.answer_all()
    assert not bench.exabgp.eors, "End-of-RIB waits for the first set"
    bench.speaker.set(B, {PREFIXES[0]: SELF})
    bench.answer_all()
    assert not bench.exabgp.named
    bench.speaker.set(A, {})
    bench.answer_all()
    assert bench.exabgp.eors == [(A, "ipv4 unicast")]


def test_end_of_rib_comes_after_every_route_and_once_per_family() -> None:
    bench = Bench()
    bench.speaker.set(A, dict.fromkeys(PREFIXES, SELF))
    bench.speaker.session_up(A, (Family.IPV6, Family.IPV4))
    bench.answer_all()
    kinds = [line.split()[3] for line in bench.exabgp.lines if line.startswith("neighbor")]
    assert kinds == ["attributes", "eor", "eor"]
    assert bench.speaker.settled(A)
    bench.answer_all()
    assert len(bench.exabgp.eors) == 2


def test_peers_that_hear_the_same_share_commands() -> None:
    bench = Bench()
    for peer in (A, B):
        bench.speaker.set(peer, dict.fromkeys(PREFIXES, SELF))
        bench.speaker.session_up(peer)
    bench.answer_all()
    announced = [line for line in bench.exabgp.lines if "announce attributes" in line]
    assert len(announced) == 1
    assert announced[0].startswith("neighbor 10.0.0.2, neighbor 10.0.0.3 announce")


def test_what_exabgp_still_remembers_and_nobody_wants_is_withdrawn_without_touching_the_rest() -> (
    None
):
    bench = Bench()
    bench.exabgp.holds[A] = {PREFIXES[0]: SELF, PREFIXES[1]: OTHER}
    bench.speaker.set(A, {PREFIXES[0]: SELF})
    bench.speaker.session_up(A)
    bench.answer_all()
    assert bench.exabgp.holds[A] == {PREFIXES[0]: SELF}
    assert not [line for line in bench.exabgp.lines if "announce attributes" in line]


def test_a_prefix_changes_only_after_the_answer_to_its_last_change() -> None:
    bench = Bench()
    bench.speaker.set(A, {PREFIXES[0]: SELF})
    bench.speaker.session_up(A)
    bench.answer_all()
    before = len(bench.exabgp.lines)
    for attributes in (OTHER, SELF, OTHER):
        bench.speaker.set(A, {PREFIXES[0]: attributes})
        bench.speaker.flush()
    assert len(bench.exabgp.lines) == before + 1
    bench.answer_all()
    assert bench.exabgp.holds[A] == {PREFIXES[0]: OTHER}


def test_the_window_of_unanswered_commands_is_kept() -> None:
    bench = Bench()
    many = {
        ip_network(f"10.{n >> 8}.{n & 255}.0/24"): Attributes("10.0.0.1", med=n) for n in range(200)
    }
    bench.speaker.set(A, many)
    bench.speaker.session_up(A)
    bench.speaker.flush()
    bench.exabgp.answer(bench.dialogue.reply, bench.speaker.acknowledged)
    bench.speaker.flush()
    assert len(bench.exabgp.queue) == MAX_UNACKED_COMMANDS


def test_a_refused_command_ends_in_the_wanted_state() -> None:
    bench = Bench()
    bench.speaker.set(A, dict.fromkeys(PREFIXES, SELF))
    bench.speaker.session_up(A)
    bench.speaker.flush()
    bench.exabgp.answer(bench.dialogue.reply, bench.speaker.acknowledged)
    bench.exabgp.refuse = 1
    bench.answer_all()
    assert bench.exabgp.holds[A] == dict.fromkeys(PREFIXES, SELF)
    assert bench.speaker.settled(A)


def test_a_leaving_peer_hears_that_all_is_gone_whatever_set_says() -> None:
    bench = Bench()
    bench.speaker.set(A, dict.fromkeys(PREFIXES, SELF))
    bench.speaker.session_up(A)
    bench.answer_all()
    bench.speaker.leave(A)
    bench.speaker.set(A, dict.fromkeys(PREFIXES, SELF))
    bench.answer_all()
    assert bench.exabgp.holds[A] == {}
    assert bench.speaker.settled(A)
    bench.speaker.stay(A)
    bench.answer_all()
    assert set(bench.exabgp.holds[A]) == set(PREFIXES)


class Stories(RuleBasedStateMachine):
    """Any order of wishes, sessions, answers, refusals, restarts: at rest, ExaBGP holds the wishes."""

    def __init__(self) -> None:
        super().__init__()
        self.bench = Bench()
        self.wishes: dict[IPAddress, dict[IPNetwork, Attributes]] = {}
        self.up: set[IPAddress] = set()

    @rule(
        peer=st.sampled_from([A, B]),
        routes=st.dictionaries(st.sampled_from(PREFIXES), st.sampled_from([SELF, OTHER])),
    )
    def wish(self, peer: IPAddress, routes: dict[IPNetwork, Attributes]) -> None:
        self.wishes[peer] = routes
        self.bench.speaker.set(peer, routes)

    @rule(peer=st.sampled_from([A, B]))
    def comes_up(self, peer: IPAddress) -> None:
        self.up.add(peer)
        self.bench.speaker.session_up(peer)

    @rule(peer=st.sampled_from([A, B]))
    def goes_down(self, peer: IPAddress) -> None:
        self.up.discard(peer)
        self.bench.speaker.session_down(peer)

    @rule()
    def flush(self) -> None:
        self.bench.now += 0.1
        self.bench.speaker.flush()

    @rule(refused=st.booleans())
    def answer(self, *, refused: bool) -> None:
        if self.bench.exabgp.queue:
            self.bench.exabgp.refuse = int(refused)
            self.bench.exabgp.answer(self.bench.dialogue.reply, self.bench.speaker.acknowledged)

    @rule(forgets=st.booleans())
    def reattach(self, *, forgets: bool) -> None:
        """Another connection: queued commands are lost; another ExaBGP: what it held, too."""
        self.bench.exabgp.queue.clear()
        if forgets:
            self.bench.exabgp.holds = {A: {}, B: {}}
        self.bench.dialogue.attach()
        self.bench.speaker.restarted()
        for peer in self.up:
            self.bench.speaker.session_up(peer)

    @invariant()
    def the_window_is_kept(self) -> None:
        assert len(self.bench.dialogue.unanswered()) <= MAX_UNACKED_COMMANDS

    def teardown(self) -> None:
        self.bench.exabgp.refuse = 0
        self.bench.answer_all()
        for peer in self.up & set(self.wishes):
            assert self.bench.exabgp.holds[peer] == self.wishes[peer]
            assert self.bench.speaker.settled(peer)


TestStories = Stories.TestCase
TestStories.settings = settings(stateful_step_count=25)
