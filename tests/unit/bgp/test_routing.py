"""When the kernel is read again and written: hints, relists, retries, and what was left before."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address, ip_network
from itertools import pairwise

import pytest

from bgp.calc.next_hops import Underlay
from bgp.calc.terms import Policy
from bgp.fib import Fib
from bgp.learned import Learned
from bgp.model import EndOfRib, Family, IPNetwork, PathsReceived, PeerUp
from bgp.rib_in import RibIn
from bgp.routing import RECHECK_SECONDS, RELIST_SECONDS, Routing
from bgp.state import Dirty
from bgp.yielding import Yielding
from felix_py.kernel.errors import KernelRefused
from felix_py.kernel.hints import Hints
from felix_py.kernel.model import Hint, RouteKey
from tests.support.bgp_cluster import node, path, peering, pool, snapshot
from tests.unit.bgp.world import MemoryTable, OneLink

PEER = ip_address("10.0.0.2")
FACTS = snapshot(nodes=[node("node-1", "10.0.0.1/24")], pools=[pool("a", "10.244.0.0/16")])


NEVER = Yielding(lambda _: set(), lambda _: frozenset())


class Table(MemoryTable):
    """Counts what is asked of it, and refuses when told to."""

    def __init__(self) -> None:
        super().__init__()
        self.noted: list[frozenset[IPNetwork]] = []
        self.relists = 0
        self.applies = 0
        self.refuses = False

    def relist(self) -> None:
        self.relists += 1

    def note(self, prefixes: frozenset[IPNetwork]) -> None:
        self.noted.append(prefixes)

    def apply(self) -> Mapping[RouteKey, KernelRefused]:
        self.applies += 1
        done = super().apply()
        return {key: KernelRefused("put", 101) for key in self.actual} if self.refuses else done


class Reader(OneLink):
    """Counts how often it is read."""

    def __init__(self) -> None:
        self.reads = 0

    def read(self) -> Underlay:
        self.reads += 1
        return super().read()


class Bench:
    """A started Routing with one peer that is up."""

    def __init__(self) -> None:
        self.table, self.reader, self.hints, self.rib = Table(), Reader(), Hints(), RibIn()
        self.rib.expect([peering("10.0.0.2")], 0)
        self.rib.handle(PeerUp(PEER), 0)
        self.routing = Routing(
            self.rib,
            Learned(self.rib, Policy()),
            Fib(self.table, NEVER),  # type: ignore[arg-type]
            self.reader,  # type: ignore[arg-type]
            self.hints,
            keep_seconds=100,
        )
        self.now = 0.0

    def start(self) -> None:
        self.routing.start(self.now)
        self.round(Dirty(everything_learned=True))

    def round(self, dirty: Dirty | None = None) -> None:
        self.routing.update(FACTS, dirty or Dirty(), self.now)

    def learn(self, prefix: str) -> None:
        self.rib.handle(PathsReceived(PEER, (), (path(prefix, "10.0.0.2"),)), self.now)
        self.round()


@pytest.fixture
def bench() -> Bench:
    made = Bench()
    made.start()
    return made


def test_a_quiet_round_reads_and_writes_nothing(bench: Bench) -> None:
    before = (bench.reader.reads, bench.table.relists, bench.table.applies)
    for _ in range(10):
        bench.now += 1
        bench.round()
    assert before[2] == 1
    bench.now += RECHECK_SECONDS
    bench.round()
    assert bench.table.applies <= before[2] + 1, "the recheck after the start, and nothing else"


def test_a_learned_prefix_is_written_in_the_same_round(bench: Bench) -> None:
    bench.learn("10.244.2.0/26")
    assert bench.table.gateways() == {ip_network("10.244.2.0/26"): ("10.0.0.2",)}
    assert bench.routing.wanted == 1


def test_a_changed_pool_route_is_read_alone_an_underlay_route_reads_the_underlay(
    bench: Bench,
) -> None:
    bench.now += 1
    bench.round()
    reads = bench.reader.reads
    pod, under = ip_network("10.244.2.0/26"), ip_network("10.50.0.0/16")
    bench.hints.add(Hint("routes", prefixes=frozenset({pod})))
    bench.round()
    assert (bench.table.noted[-1], bench.reader.reads) == (frozenset({pod}), reads)
    bench.hints.add(Hint("routes", prefixes=frozenset({under})))
    bench.round()
    assert bench.reader.reads == reads + 1


def test_a_changed_link_has_everything_read_now_and_once_more(bench: Bench) -> None:
    bench.now += 1
    bench.round()
    relists = bench.table.relists
    bench.hints.add(Hint("links"))
    bench.round()
    assert bench.table.relists == relists + 1
    bench.now += RECHECK_SECONDS
    bench.round()
    assert bench.table.relists == relists + 2
    bench.now += RECHECK_SECONDS
    bench.round()
    assert bench.table.relists == relists + 2


def test_everything_is_read_again_from_time_to_time(bench: Bench) -> None:
    bench.now += 1
    bench.round()
    relists = bench.table.relists
    bench.now += RELIST_SECONDS
    bench.round()
    assert bench.table.relists == relists + 1


def test_what_the_kernel_refused_is_tried_again_with_growing_delays(bench: Bench) -> None:
    bench.now += 1
    bench.round()
    bench.table.refuses = True
    bench.learn("10.244.2.0/26")
    tried_at: list[float] = []
    applies = bench.table.applies
    while len(tried_at) < 4:
        bench.now += bench.routing.wait_seconds(bench.now, 10.0)
        bench.round()
        if bench.table.applies > applies:
            applies = bench.table.applies
            tried_at.append(bench.now)
    waits = [later - earlier for earlier, later in pairwise(tried_at)]
    assert waits == sorted(waits)
    assert waits[0] < waits[-1] <= 5.0
    bench.table.refuses = False
    bench.now += 5
    bench.round()
    assert bench.routing.wait_seconds(bench.now, 7.0) == 7.0


@pytest.mark.parametrize("by", ["end of rib", "time"])
def test_old_routes_stay_until_the_peers_were_heard_or_the_time_is_over(by: str) -> None:
    bench = Bench()
    left = Bench()
    left.start()
    left.learn("10.244.9.0/26")
    bench.table.actual = dict(left.table.actual)
    bench.start()
    assert set(bench.table.gateways()) == {ip_network("10.244.9.0/26")}
    if by == "time":
        bench.now = 100
    else:
        bench.rib.handle(EndOfRib(PEER, Family.IPV4), bench.now)
    bench.round()
    assert bench.table.gateways() == {}
