"""A pod's link on the real kernel: create, configure, delete, one at a time and together.

    python -m bench.veth [pods]

Prints p50 of each step in milliseconds, the same with several threads, and how much less a delete
costs when threads share requests and wait until the links are gone (the peer is a request for each link,
one at a time, in the same run).
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from ipaddress import ip_address
from statistics import median

from bench.figures import Figure, Target, emit
from felix_py.kernel.link_batch import delete_link
from felix_py.kernel.model import PodSpec, VethSpec
from felix_py.kernel.netlink_wire import NetlinkSocket
from felix_py.kernel.ownership import HOST_MAC
from felix_py.kernel.pod_links import NetlinkPodLinks
from tests.support import netns
from tests.support.netns import Namespaces

THREADS = 16
TARGET = Target("ratio", "at most", 0.25)
GATEWAYS = {4: ip_address("169.254.1.1"), 6: ip_address("fe80::ecee:eeff:feee:eeee")}


def timed(function: Callable[[], object]) -> float:
    """Milliseconds of one call."""
    started = time.perf_counter()
    function()
    return (time.perf_counter() - started) * 1000


class Bench:
    """One node's namespace with as many pods' namespaces."""

    def __init__(self, made: Namespaces, pods: int) -> None:
        self.links = NetlinkPodLinks()
        node = made.create(prefix="fxb")
        self.one = ThreadPoolExecutor(1, initializer=netns.enter, initargs=(node,))
        self.many = ThreadPoolExecutor(THREADS, initializer=netns.enter, initargs=(node,))
        self.pods = [
            os.open(netns.path(made.create(prefix="fxb")), os.O_RDONLY | os.O_CLOEXEC)
            for _ in range(pods)
        ]

    def close(self) -> None:
        """Let go of threads, sockets and namespaces."""
        self.one.shutdown()
        self.many.shutdown()
        self.links.close()
        for descriptor in self.pods:
            os.close(descriptor)

    def create(self, number: int) -> None:
        """The pair of one pod."""
        spec = VethSpec(f"cali{number}", "eth0", f"handle {number}", 1500, HOST_MAC)
        self.links.create(spec, self.pods[number])

    def configure(self, number: int) -> None:
        """The pod's side of one pod."""
        addresses = (ip_address(f"10.1.{number >> 8}.{number & 255}"),)
        self.links.configure_pod(PodSpec("eth0", addresses, GATEWAYS, HOST_MAC), self.pods[number])

    def delete(self, number: int) -> None:
        """Find by name and delete, as DEL does."""
        link = self.links.find(f"cali{number}")
        assert link is not None
        self.links.delete([link.index])

    def delete_plainly(self, number: int) -> None:
        """Delete as `ip link delete` does: by a request of its own, until the kernel answers."""
        link = self.links.find(f"cali{number}")
        assert link is not None
        with NetlinkSocket() as opened:
            opened.demand("delete link", [delete_link(link.index)])

    def run(self, pool: ThreadPoolExecutor, step: Callable[[int], None]) -> Sequence[float]:
        """Milliseconds of this step for every pod, in this pool."""
        doing = [pool.submit(timed, partial(step, number)) for number in range(len(self.pods))]
        return [each.result() for each in doing]


def main() -> None:
    """Measure in throw-away namespaces."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 64
    with netns.Namespaces() as made:
        bench = Bench(made, count)
        try:
            whole: dict[str, float] = {}
            for name, pool in (("one at a time", bench.one), (f"{THREADS} at once", bench.many)):
                for step in (bench.create, bench.configure, bench.delete):
                    started = time.perf_counter()
                    took = bench.run(pool, step)
                    whole[name + step.__name__] = time.perf_counter() - started
                    print(f"{name:14} {step.__name__:10} p50 {median(took):.2f} ms")
            bench.run(bench.one, bench.create)
            started = time.perf_counter()
            bench.run(bench.one, bench.delete_plainly)
            alone, together = time.perf_counter() - started, whole[f"{THREADS} at oncedelete"]
            print(f"delete {count} links: together {alone / together:.1f} times faster")
            what, peer = f"delete {count} links, {THREADS} at once", "one at a time"
            emit([Figure("veth", what, "s", together, peer, alone, TARGET)])
        finally:
            bench.close()


if __name__ == "__main__":
    main()
