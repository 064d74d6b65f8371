"""The door at which is asked who told us of an address."""

from __future__ import annotations

import json
import socket
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from bgp.calc.learned_routes import Decision, Refusal
from bgp.door import MAX_WAITING, Answer, Door, Question, Questions
from bgp.model import IPNetwork, PathsReceived, PeerUp
from bgp.rib_in import RibIn
from bgp.told import tellers, told
from felix_py.ctl import bgp_question
from tests.support.bgp_cluster import path, peering

TOLD = {
    "prefix": "10.244.2.0/26",
    "peer": "10.0.0.9",
    "source": "BGPPeer tor",
    "nextHop": "10.0.0.9",
    "asPath": [65100],
    "stale": False,
    "used": True,
    "refused": "",
}


@contextmanager
def door(run_dir: Path, answer: Callable[[Question], Answer]) -> Iterator[Path]:
    """A door with a loop behind it that answers."""
    (run_dir / "bgp").mkdir(exist_ok=True)
    file, stop, rung = run_dir / "bgp" / "ask.sock", threading.Event(), threading.Event()
    questions = Questions(rung.set)

    def loop() -> None:
        while not stop.is_set():
            rung.wait(0.05)
            for question in questions.take_all():
                question.answers.put(answer(question))

    threads = [
        threading.Thread(target=Door(file, questions).run, args=(stop,)),
        threading.Thread(target=loop),
    ]
    for thread in threads:
        thread.start()
    try:
        deadline = time.monotonic() + 5
        while not _listens(file):
            assert time.monotonic() < deadline
        yield file
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def _listens(file: Path) -> bool:
    try:
        with socket.socket(socket.AF_UNIX) as tried:
            tried.connect(str(file))
    except OSError:
        return False
    return True


def test_felixctl_gets_the_loops_answer(tmp_path: Path) -> None:
    with door(
        tmp_path, lambda question: {"paths": [TOLD] if str(question.address) else []}
    ) as file:
        [found] = bgp_question.ask(str(tmp_path), ip_address("10.244.2.7")).paths
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert (found.peer, found.source, found.used) == (ip_address("10.0.0.9"), "BGPPeer tor", True)
    assert found.about == ip_address("10.244.2.7")


def test_a_caller_that_asks_nonsense_is_told_so_and_disturbs_nobody(tmp_path: Path) -> None:
    with door(tmp_path, lambda _: {"paths": []}) as file:
        with socket.socket(socket.AF_UNIX) as caller:
            caller.connect(str(file))
            caller.sendall(b"who goes there\n")
            assert json.loads(caller.recv(1000)) == {"error": "ask for an address"}
        assert bgp_question.ask(str(tmp_path), ip_address("10.244.2.7")).paths == ()


def test_an_answer_of_another_shape_is_no_answer(tmp_path: Path) -> None:
    with (
        door(tmp_path, lambda _: {"paths": [{"prefix": "x"}]}),
        pytest.raises(bgp_question.NoAnswer, match="cannot be read"),
    ):
        bgp_question.ask(str(tmp_path), ip_address("10.244.2.7"))


def test_without_an_agent_there_is_no_answer(tmp_path: Path) -> None:
    with pytest.raises(bgp_question.NoAnswer, match="does not answer"):
        bgp_question.ask(str(tmp_path), ip_address("10.244.2.7"))


def test_questions_that_nobody_looks_at_are_bounded() -> None:
    questions = Questions()
    for _ in range(MAX_WAITING):
        questions._waiting.put_nowait(Question(ip_address("10.0.0.1")))
    assert questions.ask(ip_address("10.0.0.2")) == {"error": "busy"}
    assert len(questions.take_all()) == MAX_WAITING


def test_every_covering_path_is_told_with_what_became_of_it() -> None:
    rib = RibIn()
    rib.expect([peering("10.0.0.9"), peering("10.0.0.3")], 0.0)
    for peer, prefix in (("10.0.0.9", "10.244.2.0/26"), ("10.0.0.3", "10.244.0.0/16")):
        rib.handle(PeerUp(ip_address(peer)), 0.0)
        rib.handle(PathsReceived(ip_address(peer), (), (path(prefix, peer, 65100),)), 0.0)

    def decision(prefix: IPNetwork) -> Decision:
        if prefix.prefixlen == 26:
            return Decision((ip_address("10.0.0.9"),))
        return Decision((), ((ip_address("10.0.0.3"), Refusal.AS_LOOP),))

    found = told(ip_address("10.244.2.7"), rib, decision)
    assert [(f["prefix"], f["peer"], f["used"], f["refused"]) for f in found] == [
        ("10.244.2.0/26", "10.0.0.9", True, ""),
        ("10.244.0.0/16", "10.0.0.3", False, "our own AS in the AS_PATH"),
    ]
    assert tellers(ip_network("10.244.0.0/16"), rib) == ["10.0.0.9", "10.0.0.3"]
    assert tellers(ip_network("10.244.0.0/20"), rib) == ["10.0.0.9"]
    assert tellers(None, rib) == []


def test_a_door_that_cannot_be_opened_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bgp.door.AGAIN_SECONDS", 0.05)
    taken = tmp_path / "bgp" / "ask.sock"
    taken.mkdir(parents=True)
    opened = threading.Timer(0.2, taken.rmdir)
    opened.start()
    with door(tmp_path, lambda _: {"paths": []}):
        assert bgp_question.ask(str(tmp_path), ip_address("10.244.2.7")).paths == ()
    opened.join()
