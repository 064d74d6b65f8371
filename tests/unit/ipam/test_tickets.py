"""Requests that wait: callers that were answered together are decided together again."""

from __future__ import annotations

import threading

import pytest

from felix_py.datastore.model import HandleId
from ipam import tickets
from ipam.requests import ReleaseRequest
from ipam.tickets import Inbox, Ticket


def ticket(number: int) -> Ticket:
    return Ticket(ReleaseRequest(HandleId(f"h{number}")), float("inf"))


def test_fewer_than_the_last_time_wait_for_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tickets, "GATHER_SECONDS", 60.0)
    inbox, asked = Inbox(), [ticket(number) for number in range(3)]
    for each in asked:
        inbox.put(each)
    assert inbox.take_all() == asked
    inbox.put(asked[0])
    others = threading.Thread(target=lambda: list(map(inbox.put, asked[1:])))
    others.start()
    assert inbox.take_all() == asked
    others.join()


def test_nobody_is_waited_for_for_long_nor_when_nothing_came(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    inbox, asked = Inbox(), [ticket(number) for number in range(3)]
    for each in asked:
        inbox.put(each)
    assert inbox.take_all() == asked
    inbox.put(asked[0])
    assert inbox.take_all() == asked[:1]
    monkeypatch.setattr(tickets, "GATHER_SECONDS", 60.0)
    assert inbox.take_all() == []
    inbox.put(asked[1])
    assert inbox.take_all() == [asked[1]]
