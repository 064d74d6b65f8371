"""Throw-away namespaces do what the other tests rely on."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tests.support import netns
from tests.support.netns import Namespaces

pytestmark = pytest.mark.root


def test_two_namespaces_reach_each_other_over_a_veth_pair(namespaces: Namespaces) -> None:
    left, right = namespaces.create(), namespaces.create()
    netns.veth((left, "l0"), (right, "r0"))
    netns.address(left, "l0", "10.9.0.1/24", "fd09::1/64")
    netns.address(right, "r0", "10.9.0.2/24", "fd09::2/64")
    assert netns.succeeds(left, "ping", "-c1", "-W2", "10.9.0.2")
    assert netns.succeeds(left, "ping", "-c1", "-W2", "fd09::2")
    assert not netns.succeeds(left, "ping", "-c1", "-W1", "10.9.0.3")


def test_a_function_called_in_a_namespace_leaves_the_caller_where_it_was(namespace: str) -> None:
    before = Path("/proc/thread-self/ns/net").readlink()
    inside = netns.call(namespace, lambda: [name for _, name in socket.if_nameindex()])
    assert inside == ["lo"]
    assert Path("/proc/thread-self/ns/net").readlink() == before


def test_an_exception_in_a_namespace_reaches_the_caller(namespace: str) -> None:
    with pytest.raises(ZeroDivisionError):
        netns.call(namespace, lambda: 1 // 0)


def test_namespaces_are_gone_after_a_failure() -> None:
    def fail(made: Namespaces) -> None:
        names.append(made.create())
        raise RuntimeError

    names: list[str] = []
    with pytest.raises(RuntimeError), Namespaces() as made:
        fail(made)
    assert names
    assert not netns.path(names[0]).exists()
