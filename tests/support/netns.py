"""Throw-away network namespaces for tests: random names, and gone after failure.

Everything happens in namespaces that the test made; the host's own interfaces and routes are never
touched. `namespaces` is a fixture; `Namespaces` also works as a context manager outside pytest.
"""

from __future__ import annotations

import ctypes
import json
import os
import secrets
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import pytest

T = TypeVar("T")

CLONE_NEWNET = 0x40000000
RUN_NETNS = Path("/run/netns")
COMMAND_SECONDS = 30.0
"""A command that takes longer has hung; the test fails."""

_libc = ctypes.CDLL(None, use_errno=True)


def ip(*arguments: str, namespace: str | None = None) -> str:
    """Run iproute2 (`ip -n <namespace> ...`); its output. Raises CalledProcessError."""
    prefix = ["ip"] if namespace is None else ["ip", "-n", namespace]
    return _run([*prefix, *arguments])


def ip_json(*arguments: str, namespace: str) -> list[dict[str, Any]]:
    """`ip -j -d <arguments>` in a namespace, decoded; an empty list when there is nothing."""
    text = ip("-j", "-d", *arguments, namespace=namespace)
    loaded: list[dict[str, Any]] = json.loads(text or "[]")
    return [entry for entry in loaded if entry]


def command(namespace: str, *argv: str) -> list[str]:
    """The argument list that runs a command in a namespace, for subprocess.Popen."""
    return ["ip", "netns", "exec", namespace, *argv]


def run(namespace: str, *argv: str, check: bool = True) -> str:
    """Run a command in a namespace to its end; its standard output. Raises CalledProcessError."""
    return _run(command(namespace, *argv), check=check)


def succeeds(namespace: str, *argv: str) -> bool:
    """Whether a command in a namespace ends with status 0."""
    done = subprocess.run(
        command(namespace, *argv),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=COMMAND_SECONDS,
        check=False,
    )
    return done.returncode == 0


def path(namespace: str) -> Path:
    """Where a namespace is mounted: what a container runtime passes as CNI_NETNS."""
    return RUN_NETNS / namespace


def enter(namespace: str) -> None:
    """Move the calling thread, for good, into a namespace. For forked children and own threads."""
    descriptor = os.open(path(namespace), os.O_RDONLY | os.O_CLOEXEC)
    try:
        if _libc.setns(descriptor, CLONE_NEWNET) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), namespace)
    finally:
        os.close(descriptor)


def call(namespace: str, function: Callable[[], T]) -> T:
    """Call a function in a namespace, in a thread of its own; its result or its exception.

    Sockets that it opens stay in that namespace. /proc/sys/net is the namespace's too;
    /proc/net is not (it follows the process), /proc/thread-self/net is.
    """
    results: list[T] = []
    errors: list[BaseException] = []

    def body() -> None:
        try:
            enter(namespace)
            results.append(function())
        except BaseException as error:  # noqa: BLE001  re-raised in the caller
            errors.append(error)

    thread = threading.Thread(target=body, name=f"in-{namespace}")
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]


def create(*, prefix: str = "fxt") -> str:
    """A new namespace with a random name, its loopback up. Delete it yourself, or use Namespaces."""
    name = f"{prefix}-{secrets.token_hex(5)}"
    ip("netns", "add", name)
    ip("link", "set", "lo", "up", namespace=name)
    return name


def delete(name: str) -> None:
    """Remove a namespace (processes inside keep it alive until they end); absent is fine."""
    if path(name).exists():
        ip("netns", "del", name)


def veth(left: tuple[str, str], right: tuple[str, str]) -> None:
    """A veth pair, both ends up: (namespace, link name) and (namespace, link name)."""
    (left_namespace, left_name), (right_namespace, right_name) = left, right
    ip(
        *("link", "add", left_name, "type", "veth"),
        *("peer", "name", right_name, "netns", right_namespace),
        namespace=left_namespace,
    )
    ip("link", "set", left_name, "up", namespace=left_namespace)
    ip("link", "set", right_name, "up", namespace=right_namespace)


def address(namespace: str, link: str, *interfaces: str) -> None:
    """Give a link addresses (`10.0.0.1/24`, `fd00::1/64`), without duplicate address detection."""
    for interface in interfaces:
        extra = ["nodad"] if ":" in interface else []
        ip("address", "add", interface, "dev", link, *extra, namespace=namespace)


class Namespaces:
    """Creates namespaces and removes every one of them at the end, whatever happened."""

    def __init__(self) -> None:
        self._names: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def create(self, *, prefix: str = "fxt") -> str:
        """One more namespace, its loopback up; its random name."""
        name = create(prefix=prefix)
        self._names.append(name)
        return name

    def close(self) -> None:
        """Remove all that were made; safe to repeat."""
        while self._names:
            delete(self._names.pop())


@pytest.fixture
def namespaces() -> Iterator[Namespaces]:
    """A maker of namespaces whose products are gone after the test."""
    with Namespaces() as made:
        yield made


@pytest.fixture
def namespace(namespaces: Namespaces) -> str:
    """One empty namespace with its loopback up."""
    return namespaces.create()


def _run(argv: Sequence[str], *, check: bool = True) -> str:
    done = subprocess.run(
        argv,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=COMMAND_SECONDS,
        check=False,
        text=True,
    )
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(argv)}: status {done.returncode}: {done.stderr.strip()}")
    return done.stdout
