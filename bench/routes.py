"""Kernel routes: our batches against `ip -batch`, in one run, in a namespace of their own.

    python -m bench.routes [routes]

Prints seconds and the ratio (theirs / ours, above 1: we are faster) for creating, replacing and
deleting, packing included on both sides (iproute2 parses a file that is written before), and the
time of a list. Alternates and takes the best of three, because the host is shared.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path

from bench.figures import Figure, Target, emit
from felix_py.kernel.model import (
    DropRoute,
    IPAddress,
    NextHop,
    PutRoute,
    Route,
    RouteChange,
    RouteKey,
)
from felix_py.kernel.pyroute2_kernel import Pyroute2Kernel
from tests.support import netns

ROUNDS = 3
TARGET = Target("ratio", "at most", 1.0)
FIRST = {4: int(IPv4Address("100.64.0.0")), 6: int(IPv6Address("2001:db8::"))}
GATEWAYS: dict[int, tuple[IPAddress, IPAddress]] = {
    4: (IPv4Address("10.0.0.2"), IPv4Address("10.0.0.3")),
    6: (IPv6Address("fd00::2"), IPv6Address("fd00::3")),
}


def routes(version: int, count: int, index: int, gateway: IPAddress) -> list[Route]:
    """Host routes by one gateway, as BGP would learn them."""
    hops = (NextHop(index, gateway),)
    first = FIRST[version]
    if version == 4:
        return [
            Route(RouteKey(IPv4Network((first + n, 32)), 1025), 81, next_hops=hops)
            for n in range(count)
        ]
    return [
        Route(RouteKey(IPv6Network((first + n, 128)), 1025), 81, next_hops=hops)
        for n in range(count)
    ]


def ours(kernel: Pyroute2Kernel, changes: Sequence[RouteChange]) -> float:
    """Seconds for these changes by our batches; every one must succeed."""
    started = time.perf_counter()
    answers = kernel.change_routes(changes)
    took = time.perf_counter() - started
    assert not any(answers), next(answer for answer in answers if answer)
    return took


def theirs(namespace: str, verb: str, wanted: Sequence[Route]) -> float:
    """Seconds for the same by `ip -batch`, without the time to write its file."""
    lines = (
        f"route {verb} {route.key.prefix} via {route.next_hops[0].gateway} dev up0 "
        f"metric {route.key.metric} proto {route.protocol}\n"
        for route in wanted
    )
    with tempfile.NamedTemporaryFile("w", suffix=".batch") as batch:
        Path(batch.name).write_text("".join(lines), "ascii")
        started = time.perf_counter()
        netns.ip("-batch", batch.name, namespace=namespace)
        return time.perf_counter() - started


def measure(
    kernel: Pyroute2Kernel, namespace: str, index: int, version: int, count: int
) -> list[Figure]:
    """One family: create, replace and delete, by both, and the list."""
    first, second = GATEWAYS[version]
    before, after = (routes(version, count, index, gateway) for gateway in (first, second))
    creates = [PutRoute(route) for route in before]
    replaces = [PutRoute(route, replaces_ours=True) for route in after]
    drops = [DropRoute(route) for route in after]
    steps: list[tuple[str, Callable[[], float], Callable[[], float]]] = [
        ("create", lambda: ours(kernel, creates), lambda: theirs(namespace, "add", before)),
        ("replace", lambda: ours(kernel, replaces), lambda: theirs(namespace, "replace", after)),
        ("delete", lambda: ours(kernel, drops), lambda: theirs(namespace, "del", after)),
    ]
    best: dict[tuple[str, str], float] = {}
    for _ in range(ROUNDS):
        for side in ("ours", "theirs"):
            for name, mine, other in steps:
                took = mine() if side == "ours" else other()
                best[name, side] = min(took, best.get((name, side), took))
                if name == "create" and side == "ours":
                    started = time.perf_counter()
                    assert len(kernel.routes(254, protocol=81)) == count
                    listed = time.perf_counter() - started
                    best["list", side] = min(listed, best.get(("list", side), listed))
    print(f"IPv{version} list     {count:,} routes: ours {best['list', 'ours']:.3f} s")
    return [_figure(name, version, count, best) for name, _, _ in steps]


def _figure(name: str, version: int, count: int, best: Mapping[tuple[str, str], float]) -> Figure:
    mine, other = best[name, "ours"], best[name, "theirs"]
    print(
        f"IPv{version} {name:8} {count:,} routes: ours {mine:.3f} s ({count / mine:,.0f}/s), "
        f"ip -batch {other:.3f} s ({count / other:,.0f}/s), ratio {other / mine:.2f}"
    )
    what = f"{name} {count:,} IPv{version} routes"
    return Figure("routes", what, "s", mine, "ip -batch", other, TARGET)


def main() -> None:
    """Measure both families in a throw-away namespace."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 50_000
    with netns.Namespaces() as made:
        namespace, peer = made.create(prefix="fxb"), made.create(prefix="fxb")
        netns.veth((namespace, "up0"), (peer, "p0"))
        netns.address(namespace, "up0", "10.0.0.1/24", "fd00::1/64")
        [link] = netns.ip_json("link", "show", "up0", namespace=namespace)
        with Pyroute2Kernel(netns=namespace) as kernel:
            for version in (4, 6):
                emit(measure(kernel, namespace, link["ifindex"], version, count))


if __name__ == "__main__":
    main()
