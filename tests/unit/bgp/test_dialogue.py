"""The conversation with ExaBGP: order, window, answers to whom they belong."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from bgp import dialogue as module
from bgp.dialogue import MAX_UNACKED_COMMANDS, Answer, Dialogue, TooManyCommands


class Wire:
    def __init__(self) -> None:
        self.sent: list[str] = []
        self.now = 100.0
        self.dialogue = Dialogue(self.send, lambda: self.now)

    def send(self, lines: Sequence[str]) -> None:
        self.sent += lines


def test_commands_wait_for_a_relay_and_then_for_the_window() -> None:
    wire = Wire()
    assert wire.dialogue.room == 0
    wire.dialogue.attach()
    for number in range(MAX_UNACKED_COMMANDS + 5):
        wire.dialogue.ask(f"command {number}")
    assert len(wire.sent) == MAX_UNACKED_COMMANDS
    assert wire.dialogue.room == 0
    wire.dialogue.acknowledged(True)
    assert wire.sent[-1] == f"command {MAX_UNACKED_COMMANDS}"


def test_an_answer_goes_to_the_oldest_command_with_the_lines_before_it() -> None:
    wire = Wire()
    answers: list[Answer] = []
    wire.dialogue.attach()
    wire.dialogue.ask("first", answers.append)
    wire.dialogue.ask("second", answers.append)
    wire.dialogue.reply("a")
    wire.dialogue.reply("b")
    wire.dialogue.acknowledged(True)
    wire.dialogue.acknowledged(False)
    wire.dialogue.acknowledged(True)
    assert answers == [Answer(ok=True, lines=("a", "b")), Answer(ok=False)]


def test_a_command_asked_alone_shares_the_window_with_none() -> None:
    wire = Wire()
    wire.dialogue.attach()
    wire.dialogue.ask("queued")
    wire.dialogue.ask("reload", alone=True)
    wire.dialogue.ask("after")
    assert wire.sent == ["queued"]
    wire.dialogue.acknowledged(True)
    assert wire.sent == ["queued", "reload"]
    wire.dialogue.acknowledged(True)
    assert wire.sent == ["queued", "reload", "after"]


def test_what_was_asked_of_another_connection_is_told_to_be_lost() -> None:
    wire = Wire()
    answers: list[Answer] = []
    wire.dialogue.attach()
    wire.dialogue.ask("first", answers.append)
    wire.dialogue.attach()
    assert answers == [Answer(ok=False, lost=True)]
    wire.dialogue.detach()
    wire.dialogue.ask("second", answers.append)
    assert wire.sent == ["first"]


def test_silence_is_counted_from_the_last_sign_of_life() -> None:
    wire = Wire()
    wire.dialogue.attach()
    assert wire.dialogue.silent_seconds() == 0.0
    wire.dialogue.ask("first")
    wire.dialogue.ask("second")
    wire.now += 3
    assert wire.dialogue.silent_seconds() == 3.0
    wire.dialogue.acknowledged(True)
    assert wire.dialogue.silent_seconds() == 0.0
    wire.now += 1
    assert wire.dialogue.silent_seconds() == 1.0
    wire.dialogue.reply("a line of a long answer")
    assert wire.dialogue.silent_seconds() == 0.0


def test_the_queue_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_WAITING_COMMANDS", 3)
    wire = Wire()
    for number in range(3):
        wire.dialogue.ask(f"command {number}")
    with pytest.raises(TooManyCommands):
        wire.dialogue.ask("one more")
