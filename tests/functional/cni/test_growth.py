"""A server that has worked for long holds no more than one that has worked for a moment."""

from __future__ import annotations

import array
import os
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.functional.cni.node import Call, CniNode

pytestmark = [pytest.mark.root, pytest.mark.etcd]

CYCLES = int(os.environ.get("FELIX_PY_TEST_CYCLES", "160"))
AT_ONCE = 16
SETTLE_SECONDS = 1.0


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, shim: Path) -> Iterator[CniNode]:
    with CniNode(tmp_path_factory.mktemp("node"), shim) as node:
        yield node


def _held(node: CniNode) -> tuple[int, int]:
    """(open descriptors, threads), once connections have begun and those that are ending have ended."""
    process, least = Path(f"/proc/{node.server_pid}"), (1 << 30, 1 << 30)
    time.sleep(SETTLE_SECONDS)
    for _ in range(20):
        now = (len(list((process / "fd").iterdir())), len(list((process / "task").iterdir())))
        least = min(least, now)
        time.sleep(0.05)
    return least


def _cycle(node: CniNode, pods: list[Call]) -> None:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        assert not any(one.exit_code for one in pool.map(lambda pod: node.call("ADD", pod), pods))
        assert not any(one.exit_code for one in pool.map(lambda pod: node.call("DEL", pod), pods))


def _refuse(node: CniNode, plain: Path) -> None:
    """Requests that end early, each with a descriptor in hand."""
    assert node.call("ADD", Call("x", str(plain))).code == 3
    assert node.call("ADD", node.container(), mtu=1).code == 7
    for start in (b"F", b"FPC1", b"FPC1\xff\xff\xff\xff", b"JUNK" * 9):
        with socket.socket(socket.AF_UNIX) as client:
            _begin(node, client, start, plain)


def _begin(node: CniNode, client: socket.socket, start: bytes, plain: Path) -> None:
    """Begin a request as the shim does not: with three descriptors."""
    client.connect(str(node.plugin.socket))
    with plain.open() as opened:
        passed = array.array("i", [opened.fileno()] * 3)
        client.sendmsg([start], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, passed)])


def test_descriptors_and_threads_do_not_grow(node: CniNode, tmp_path: Path) -> None:
    plain = tmp_path / "file"
    plain.touch()
    pods = [node.container() for _ in range(AT_ONCE)]
    for _ in range(3):
        _cycle(node, pods)
    before = _held(node)
    for _ in range(max(1, CYCLES // AT_ONCE)):
        _cycle(node, pods)
        _refuse(node, plain)
    after = _held(node)
    assert after[0] <= before[0] + AT_ONCE, (before, after)  # sockets of workers that met late
    assert after[1] == before[1]
    assert not node.left_behind()


def test_descriptors_that_stay_open_would_be_seen(node: CniNode, tmp_path: Path) -> None:
    plain = tmp_path / "file"
    plain.touch()
    before = _held(node)
    with ExitStack() as held:
        for _ in range(AT_ONCE // 2):
            client = held.enter_context(socket.socket(socket.AF_UNIX))
            _begin(node, client, b"F", plain)
        assert _held(node)[0] > before[0] + AT_ONCE
