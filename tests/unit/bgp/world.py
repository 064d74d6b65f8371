"""A node in memory: the whole BGP agent without kernel, network and etcd, with an ExaBGP played by rules.

The play does what was measured of ExaBGP 5.0.15: the relay keeps events while no agent listens, answers
die with the agent that asked, announcements outlive a session and die with the process, a reload may be
dropped without a word, a peering that is removed and one that is unknown have no session.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network

from bgp.calc.announcements import announced, for_session
from bgp.calc.learned_routes import decide
from bgp.calc.next_hops import Underlay
from bgp.calc.peerings import sessions
from bgp.calc.terms import Policy, build
from bgp.dialogue import Dialogue
from bgp.exabgp_process import ExabgpProcess
from bgp.exabgp_watch import Watch
from bgp.fib import Fib
from bgp.inbox import Bell
from bgp.learned import Learned
from bgp.loop import Inputs, Loop, Parts
from bgp.model import (
    Acknowledged,
    EndOfRib,
    Event,
    Family,
    Heard,
    IPAddress,
    IPNetwork,
    NotificationSeen,
    PathsReceived,
    PeerDown,
    PeerOpened,
    PeerUp,
    RelayAttached,
    Reply,
)
from bgp.reporting import Reporting
from bgp.rib_in import RibIn
from bgp.routing import Routing
from bgp.secrets import SecretFiles
from bgp.sessions import Sessions
from bgp.speaker import Speaker
from bgp.state import State
from bgp.yielding import Yielding
from felix_py.datastore.changes import STORE_STATE, Change, StoreState, SyncMailbox
from felix_py.datastore.keys import Key
from felix_py.datastore.model import Stored
from felix_py.datastore.status_document import Identity
from felix_py.datastore.values import Value
from felix_py.kernel.errors import KernelRefused
from felix_py.kernel.hints import Hints
from felix_py.kernel.model import Link, NextHop, Route, RouteKey, Scope
from felix_py.runtime.clock import FakeClock
from felix_py.runtime.health import Health
from felix_py.runtime.stream import Stream
from tests.support.bgp_cluster import ME
from tests.unit.bgp.launchers import FakeLauncher

V4 = Family.IPV4
IN_SYNC = StoreState(in_sync=True, connected=True, frozen=None, revision=1)


class MemoryTable:
    """What a RouteTable would have written."""

    def __init__(self) -> None:
        self.actual: dict[RouteKey, Route] = {}
        self.foreign: dict[RouteKey, Route] = {}
        self._wanted: dict[RouteKey, Route] = {}
        self.others: set[IPNetwork] = set()
        """Prefixes at which felix has a route."""

    def felixs(self, prefixes: frozenset[IPNetwork]) -> frozenset[IPNetwork]:
        return prefixes & self.others

    def want(self, changes: Mapping[RouteKey, Route | None]) -> None:
        for key, route in changes.items():
            if route is None:
                self._wanted.pop(key, None)
            else:
                self._wanted[key] = route

    def relist(self) -> None:
        pass

    def note(self, prefixes: frozenset[IPNetwork]) -> None:
        pass

    def apply(self) -> Mapping[RouteKey, KernelRefused]:
        self.actual = dict(self._wanted)
        return {}

    def gateways(self) -> dict[IPNetwork, tuple[str, ...]]:
        return {
            key.prefix: tuple(str(hop.gateway) for hop in route.next_hops)
            for key, route in self.actual.items()
        }


class OneLink:
    """An underlay in which every node is on-link."""

    addresses = frozenset({ip_address("10.0.0.1")})

    def read(self) -> Underlay:
        hops = (NextHop(2),)
        key = RouteKey(ip_network("10.0.0.0/24"), 0)
        return Underlay(
            [Route(key, 2, next_hops=hops, scope=Scope.LINK)], [Link(2, "eth0", up=True)]
        )


@dataclass
class MemoryCandidate:
    """A configuration that is found good at the second look."""

    files: MemoryFiles
    text: str
    looks: int = 0

    def verdict(self, now: float) -> bool | None:
        del now
        self.looks += 1
        return None if self.looks < 2 else "peer-as 1099511627776" not in self.text

    def install(self) -> None:
        self.files.text = self.text

    def discard(self) -> None:
        self.files.discarded += 1


@dataclass
class MemoryFiles:
    """The files of <runDir>/bgp."""

    text: str | None = None
    listen: tuple[tuple[IPAddress, ...], int] | None = None
    checked: int = 0
    discarded: int = 0

    def candidate(self, text: str, now: float) -> MemoryCandidate:
        del now
        self.checked += 1
        return MemoryCandidate(self, text)

    def installed(self) -> str | None:
        return self.text

    def write_listen(self, addresses: Iterable[IPAddress], port: int) -> None:
        self.listen = (tuple(sorted(set(addresses), key=int)), port)


@dataclass
class PeerSide:
    """A router out there."""

    alive: bool = True
    graceful: bool = True
    paths: dict[IPNetwork, Heard] = field(default_factory=dict)


class Exabgp:
    """ExaBGP and its relay, by rules."""

    def __init__(self, files: MemoryFiles) -> None:
        self.files = files
        self.routers: dict[IPAddress, PeerSide] = {}
        self.established: set[IPAddress] = set()
        self.adj_out: dict[IPAddress, dict[str, dict[str, object]]] = {}
        self.neighbors: dict[IPAddress, str] = {}
        self.ignores_reloads = 0
        self.pid = 100
        self.queue: list[Event] = []
        self.connection = 0
        self.asked: list[str] = []

    def attach(self) -> None:
        """An agent connects: answers for another one are gone, events are not."""
        self.connection += 1
        told = [event for event in self.queue if not isinstance(event, Acknowledged | Reply)]
        told = [event for event in told if not isinstance(event, RelayAttached)]
        self.queue = [RelayAttached("e", self.pid, lost=False, connection=self.connection), *told]

    def die(self) -> None:
        """And come back, started by the launcher."""
        self.pid += 1
        self.connection += 1
        self.queue.clear()
        self.established.clear()
        self.adj_out.clear()
        self.neighbors = parse(self.files.text or "")
        for peer in self.neighbors:
            self.connect(peer)

    def connect(self, peer: IPAddress) -> None:
        router = self.routers.get(peer)
        if peer not in self.neighbors or router is None or not router.alive:
            return
        if peer in self.established:
            return
        self.established.add(peer)
        seconds, kept = (120, frozenset({V4})) if router.graceful else (None, frozenset[Family]())
        families = frozenset({V4})
        self.queue += [
            PeerOpened(peer, 64512, families, seconds, kept, restarting=False, graceful=kept),
            PeerUp(peer),
        ]
        self.tell(peer)

    def tell(self, peer: IPAddress) -> None:
        """The peer sends all it has."""
        paths = tuple(self.routers[peer].paths.values())
        if paths:
            self.queue.append(PathsReceived(peer, (), paths))
        self.queue.append(EndOfRib(peer, V4))

    def disconnect(self, peer: IPAddress, *, notified: bool = False) -> None:
        if peer not in self.established:
            return
        self.established.discard(peer)
        if notified:
            self.queue.append(NotificationSeen(peer, 6, 2, "shut", sent=False))
        self.queue.append(PeerDown(peer, "closing connection"))

    def send(self, lines: Sequence[str], number: int) -> bool:
        if number != self.connection:
            return False
        for line in lines:
            self.asked.append(line)
            self._do(line)
        return True

    def _do(self, line: str) -> None:
        ok = True
        if line == "reload":
            self._reload()
        elif line == "show neighbor json":
            self.queue.append(Reply(json.dumps([self._shown(peer) for peer in self.neighbors])))
        elif line.endswith(" configuration"):
            block = self.neighbors.get(ip_address(line.split()[2]), "")
            self.queue += [Reply(text) for text in block.splitlines()]
        elif line.startswith("show adj-rib out"):
            self._show_announced(line)
        elif "announce route-refresh" in line:
            self.tell(ip_address(line.split()[1]))
        elif " attributes " in line:
            self._change(line)
        elif "announce eor" in line:
            ok = ip_address(line.split()[1]) in self.established
        self.queue.append(Acknowledged(ok))

    def _reload(self) -> None:
        if self.ignores_reloads:
            self.ignores_reloads -= 1
            return
        before, self.neighbors = self.neighbors, parse(self.files.text or "")
        for peer, block in before.items():
            now = self.neighbors.get(peer)
            if now is None or key_of(now) != key_of(block):
                self.adj_out.pop(peer, None)
            if now is None or plain(now) != plain(block):
                self.disconnect(peer)
        for peer in self.neighbors:
            self.connect(peer)

    def _shown(self, peer: IPAddress) -> dict[str, object]:
        block, up = self.neighbors[peer], peer in self.established
        local, mine, theirs, hold = (
            value_of(block, name) for name in ("local-address", "local-as", "peer-as", "hold-time")
        )
        router = self.routers.get(peer, PeerSide())
        return {
            "fsm": "ESTABLISHED" if up else "ACTIVE",
            "local": {"address": local, "as": int(mine), "hold": int(hold)},
            "peer": {
                "address": str(peer),
                "as": int(theirs),
                "families": {"ipv4 unicast": up},
                "capabilities": {"graceful-restart": router.graceful},
            },
        }

    def _show_announced(self, line: str) -> None:
        words = line.split()
        only = ip_address(words[3]) if len(words) == 5 else None
        for peer, routes in self.adj_out.items():
            for prefix, attributes in routes.items():
                if only in {None, peer}:
                    nlri = {"prefix": prefix, "nexthop": attributes["next-hop"]}
                    told = {"nlri": nlri, "attributes": attributes}
                    self.queue.append(
                        Reply(json.dumps({"peer": {"address": str(peer)}, "route": told}))
                    )

    def _change(self, line: str) -> None:
        head, _, prefixes = line.partition(" nlri ")
        peers = [ip_address(text) for text in re.findall(r"neighbor (\S+?),? ", head)]
        found = re.search(r"next-hop (\S+)(?: local-preference (\d+))?", head)
        assert found is not None
        attributes: dict[str, object] = {"next-hop": found[1]}
        if found[2]:
            attributes["local-preference"] = int(found[2])
        for peer in peers:
            assert peer in self.established, f"{peer} is down and was named: {line}"
            routes = self.adj_out.setdefault(peer, {})
            for prefix in prefixes.split():
                if " announce " in head:
                    routes[prefix] = attributes
                else:
                    routes.pop(prefix, None)


def parse(text: str) -> dict[IPAddress, str]:
    """A configuration's neighbours with their blocks."""
    found = re.findall(r"^neighbor (\S+) \{\n(.*?)^\}", text, re.MULTILINE | re.DOTALL)
    return {ip_address(peer): block for peer, block in found}


def value_of(block: str, name: str) -> str:
    found = re.search(rf"^ *{name} (.*);$", block, re.MULTILINE)
    assert found is not None
    return found[1]


def key_of(block: str) -> tuple[str, ...]:
    names = ("local-address", "local-as", "peer-as", "router-id")
    return tuple(value_of(block, name) for name in names)


def plain(block: str) -> str:
    """What resets a session when it changes."""
    return re.sub(r" *description .*\n", "", block)


class Agent:
    """One life of the agent."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.mailbox: SyncMailbox = SyncMailbox()
        self.stream: Stream[Event] = Stream(10_000)
        self.connected = False
        self.state = State(ME)
        self.rib = RibIn()
        self.learned = Learned(self.rib, Policy())
        routing = Routing(
            self.rib,
            self.learned,
            Fib(world.table, Yielding(self.learned.felixs, world.table.felixs)),  # type: ignore[arg-type]
            OneLink(),  # type: ignore[arg-type]
            Hints(),
            keep_seconds=120,
        )
        exabgp, clock = world.exabgp, world.clock
        dialogue = Dialogue(lambda lines: exabgp.send(lines, dialogue.connection), clock.now)
        self.dialogue = dialogue
        self.speaker = Speaker(dialogue, clock.now)
        self.sessions = Sessions(self.rib, dialogue, self.speaker, clock.now)
        self.process = ExabgpProcess(
            "/usr/bin/python3 -I /relay.py /relay.sock",
            world.files,  # type: ignore[arg-type]
            dialogue,
            self.speaker,
            Watch(dialogue, world.launcher, lambda: self.connected),
            self.sessions.handle,
        )
        self.sessions.drive(self.process)
        self.told: list[Mapping[str, object]] = []
        self.health = health = Health(clock)
        identity = Identity("bgp", ME, 1, "0", "2026-01-01T00:00:00Z")
        self.loop = Loop(
            Inputs(
                Bell(),
                self.mailbox,
                self.stream,
                lambda: self.connected,
                self.reconnect,
                SecretFiles("/nonexistent"),
            ),
            self.state,
            Parts(
                self.rib,
                self.sessions,
                routing,
                Reporting(identity, clock, self.told.append, lambda _: None, health),
            ),
            1000,
            clock,
            health,
        )

    def reconnect(self) -> None:
        self.connected = True
        self.world.exabgp.attach()


class World:
    """One node and its neighbours; `round` lets a tenth of a second pass."""

    def __init__(self) -> None:
        self.clock = FakeClock(1000.0)
        self.files = MemoryFiles()
        self.launcher = FakeLauncher()
        self.exabgp = Exabgp(self.files)
        self.table = MemoryTable()
        self.store: dict[Key, Value] = {}
        self._delivered: set[Key] = set()
        self.in_sync = False
        self.agent = Agent(self)

    def put(self, key: Key, value: Value | None) -> None:
        """Change the store; a watch that is in sync says so at once."""
        if value is None:
            self.store.pop(key, None)
        else:
            self.store[key] = value
        if self.in_sync:
            self.deliver([key])

    def deliver(self, keys: Iterable[Key]) -> None:
        """The syncer puts these keys as they stand."""
        for key in keys:
            self._delivered.add(key)
            value = self.store.get(key)
            stored = None if value is None else Stored(value, b"", 1, 1)
            self.agent.mailbox.put(key, Change(stored))

    def sync(self) -> None:
        """The first list is complete."""
        if not self.in_sync:
            self.deliver([*self.store, *(self._delivered - self.store.keys())])
            self.agent.mailbox.put(STORE_STATE, IN_SYNC)
            self.in_sync = True

    def restart(self, *, table: MemoryTable | None = None) -> None:
        """The agent dies and starts again, with the kernel as it is or with an empty one."""
        if table is not None:
            self.table = table
        else:
            left, self.table = self.table.actual, MemoryTable()
            self.table.actual = dict(left)
        self.in_sync = False
        self._delivered.clear()
        self.agent = Agent(self)

    def exabgp_dies(self) -> None:
        self.exabgp.die()
        if self.agent.connected:
            self.agent.connected = False

    def round(self, seconds: float = 0.1, *, events: int | None = None) -> None:
        """Some events of those that wait arrive (None: all), then the loop goes round once."""
        agent, exabgp = self.agent, self.exabgp
        for pid in self.launcher.killed:
            if pid == exabgp.pid:
                self.exabgp_dies()
        self.launcher.killed.clear()
        if agent.connected:
            taken = exabgp.queue[:events]
            del exabgp.queue[:events]
            for event in taken:
                agent.stream.put(event)
        agent.loop.step()
        if not agent.connected and exabgp.connection:
            agent.reconnect()
        self.clock.advance(seconds)

    def settle(self) -> None:
        """Until nothing happens any more: every timer has run out."""
        self.sync()
        for _ in range(48):
            self.round(0.25)
        for _ in range(8):
            self.round(20.0)
            self.round(0.01)
        for _ in range(4):
            self.round(0.25)

    def expected(self) -> dict[IPNetwork, tuple[str, ...]]:
        """The routes by the pure decision alone."""
        state = self._folded()
        snapshot = state.snapshot
        peerings = sessions(snapshot, {}, 1000).peerings
        terms = build(snapshot, OneLink.addresses, Policy(), {})
        up = [one for one in peerings if one.peer in self.exabgp.established]
        prefixes = {prefix for one in up for prefix in self.exabgp.routers[one.peer].paths}
        found = {}
        for prefix in prefixes:
            paths = [(one, self.exabgp.routers[one.peer].paths.get(prefix)) for one in up]
            hops = decide(prefix, [(o, p.path) for o, p in paths if p is not None], terms).next_hops
            if hops:
                found[prefix] = tuple(map(str, hops))
        return found

    def expected_out(self) -> dict[IPAddress, set[str]]:
        """What every peer that is up should have heard."""
        snapshot = self._folded().snapshot
        said = announced(snapshot)
        peerings = sessions(snapshot, {}, 1000).peerings
        return {
            one.peer: set(map(str, for_session(one, said)))
            for one in peerings
            if one.peer in self.exabgp.established
        }

    def out(self) -> dict[IPAddress, set[str]]:
        """What ExaBGP says to every peer that is up."""
        adj_out = self.exabgp.adj_out
        return {peer: set(adj_out.get(peer, {})) for peer in self.exabgp.established}

    def _folded(self) -> State:
        state = State(ME)
        state.fold({key: Change(Stored(value, b"", 1, 1)) for key, value in self.store.items()})
        return state
