from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cni.answers import Answer
from cni.request import RawRequest
from cni.server import Server
from cni.wire import Connection
from tests.functional.cni.runtime import Plugin, environment

STDIN = b'{"name":"n"}'


def _open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


class Echo:
    """Answers with what it got, the inode of the passed descriptor first."""

    def __init__(self) -> None:
        self.requests: list[RawRequest] = []
        self.inodes: list[int | None] = []
        self.pause_seconds = 0.0
        self.exit_code = 0
        self.text: bytes | None = None

    def answer(self, raw: RawRequest, descriptor: int | None) -> Answer:
        self.requests.append(raw)
        self.inodes.append(None if descriptor is None else os.fstat(descriptor).st_ino)
        time.sleep(self.pause_seconds)
        return Answer(self.exit_code, raw.stdin if self.text is None else self.text)


@pytest.fixture
def echo() -> Echo:
    return Echo()


@pytest.fixture(params=["shipped", "checked"])
def plugin(request: pytest.FixtureRequest, tmp_path: Path) -> Plugin:
    name = "shim" if request.param == "shipped" else "checked_shim"
    return Plugin(request.getfixturevalue(name), tmp_path / "cni.sock")


@pytest.fixture
def serve(plugin: Plugin, echo: Echo) -> Iterator[Callable[[], None]]:
    """Start serving; everything ends with the test."""
    stop, threads, servers = threading.Event(), [], []

    def start() -> None:
        server = Server(plugin.socket, echo)
        servers.append(server)
        thread = threading.Thread(target=server.work, args=(stop,))
        thread.start()
        threads.append(thread)

    yield start
    stop.set()
    for thread in threads:
        thread.join()
    for server in servers:
        server.close()


def test_the_request_arrives_whole_and_the_answer_comes_back(
    plugin: Plugin, serve: Callable[[], None], echo: Echo
) -> None:
    serve()
    echo.exit_code = 1
    result = plugin.call(environment("ADD", args="A=ü;B=2"), STDIN)
    assert (result.exit_code, result.stdout) == (1, STDIN)
    assert echo.requests == [RawRequest("ADD", "c1", "/proc/self/ns/net", "eth0", "A=ü;B=2", STDIN)]


def test_the_descriptor_is_the_file_that_cni_netns_names(
    plugin: Plugin, serve: Callable[[], None], echo: Echo, tmp_path: Path
) -> None:
    serve()
    file = tmp_path / "namespace"
    file.touch()
    before = _open_files()
    for _ in range(5):
        plugin.call(environment("ADD", netns=str(file)), STDIN)
    assert echo.inodes == [file.stat().st_ino] * 5
    deadline = time.monotonic() + 5
    while _open_files() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert _open_files() == before


def test_del_goes_on_without_a_namespace(
    plugin: Plugin, serve: Callable[[], None], echo: Echo
) -> None:
    serve()
    assert plugin.call(environment("DEL", netns="/nonexistent"), STDIN).exit_code == 0
    assert plugin.call(environment("DEL", netns=""), STDIN).exit_code == 0
    assert echo.inodes == [None, None]


def test_version_needs_no_server(plugin: Plugin) -> None:
    result = plugin.call({"CNI_COMMAND": "VERSION"}, b"{}")
    assert result.exit_code == 0
    assert result.json["supportedVersions"] == ["0.3.1", "0.4.0", "1.0.0"]


@pytest.mark.parametrize(
    ("changes", "code", "names"),
    [
        ({"CNI_COMMAND": ""}, 4, "CNI_COMMAND"),
        ({"CNI_COMMAND": 'NEW"\n'}, 4, "CNI_COMMAND"),
        ({"CNI_CONTAINERID": ""}, 4, "CNI_CONTAINERID"),
        ({"CNI_IFNAME": ""}, 4, "CNI_IFNAME"),
        ({"CNI_NETNS": ""}, 4, "CNI_NETNS"),
        ({"CNI_NETNS": "/nonexistent"}, 4, "CNI_NETNS"),
        ({"CNI_ARGS": "x" * 70_000}, 4, "CNI_ARGS"),
        ({"FELIX_PY_CNI_SOCKET": "/" + "x" * 120}, 4, "FELIX_PY_CNI_SOCKET"),
    ],
)
def test_a_bad_environment_is_refused_by_the_name_of_the_variable(
    plugin: Plugin, changes: dict[str, str], code: int, names: str
) -> None:
    result = plugin.call({**environment("ADD"), **changes}, STDIN)
    assert (result.exit_code, result.code) == (1, code)
    assert result.json["msg"].startswith(names)


@pytest.mark.parametrize(("stdin", "words"), [(b"", "empty"), (b"x" * (1 << 20) + b"x", "1 MiB")])
def test_standard_input_is_bounded(plugin: Plugin, stdin: bytes, words: str) -> None:
    process = plugin.start(environment("ADD"))
    with process:
        try:
            stdout, _ = process.communicate(stdin, 20)
        except BrokenPipeError:
            stdout = b""
    assert process.returncode == 1
    assert b'"code":6' in stdout
    assert words in stdout.decode()


def test_the_largest_input_and_answer_pass(plugin: Plugin, serve: Callable[[], None]) -> None:
    serve()
    largest = b"x" * (1 << 20)
    assert plugin.call(environment("ADD"), largest).stdout == largest


def test_an_answer_beyond_the_bound_is_an_io_error(
    plugin: Plugin, serve: Callable[[], None], echo: Echo
) -> None:
    serve()
    echo.text = b"x" * ((1 << 20) + 1)
    assert plugin.call(environment("ADD"), STDIN).code == 5


def test_a_server_that_starts_late_is_waited_for(plugin: Plugin, serve: Callable[[], None]) -> None:
    process = plugin.start(environment("ADD"))
    with process:
        assert process.stdin is not None
        process.stdin.write(STDIN)
        process.stdin.close()
        process.stdin = None
        time.sleep(0.5)
        serve()
        stdout, _ = process.communicate(timeout=20)
    assert (process.returncode, stdout) == (0, STDIN)


def test_without_a_server_the_runtime_is_told_to_try_again(plugin: Plugin) -> None:
    started_at = time.monotonic()
    result = plugin.call(environment("ADD"), STDIN)
    assert (result.exit_code, result.code) == (1, 11)
    assert 9 <= time.monotonic() - started_at <= 15


def test_a_slow_answer_is_waited_for(plugin: Plugin, serve: Callable[[], None], echo: Echo) -> None:
    serve()
    echo.pause_seconds = 1.0
    assert plugin.call(environment("DEL"), STDIN).stdout == STDIN


def test_a_request_whose_server_died_is_sent_again_to_the_next(plugin: Plugin, echo: Echo) -> None:
    with socket.socket(socket.AF_UNIX) as dying:
        dying.bind(str(plugin.socket))
        dying.listen()
        process = plugin.start(environment("ADD"))
        with process:
            assert process.stdin is not None
            process.stdin.write(STDIN)
            process.stdin.close()
            process.stdin = None
            accepted, _ = dying.accept()
            with Connection(accepted) as connection:
                first = connection.read_request()
            dying.close()
            stop, server = threading.Event(), Server(plugin.socket, echo)
            thread = threading.Thread(target=server.work, args=(stop,))
            thread.start()
            stdout, _ = process.communicate(timeout=20)
            stop.set()
            thread.join()
            server.close()
    assert (process.returncode, stdout) == (0, STDIN)
    assert echo.requests == [first]
    assert echo.inodes[0] is not None


def test_a_torn_frame_neither_hangs_nor_ends_the_server(
    plugin: Plugin, serve: Callable[[], None]
) -> None:
    serve()
    for junk in (
        b"",
        b"FP",
        b"GET / HTTP/1.1\r\n\r\n",
        b"FPC1\xff\xff\xff\xff",
        b"FPC1" + b"\0" * 9,
    ):
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(plugin.socket))
            client.sendall(junk)
            client.shutdown(socket.SHUT_WR)
            while client.recv(4096):
                pass
    assert plugin.call(environment("ADD"), STDIN).stdout == STDIN


def test_the_socket_is_for_root_only(plugin: Plugin, serve: Callable[[], None]) -> None:
    serve()
    assert plugin.socket.stat().st_mode & 0o777 == 0o600
