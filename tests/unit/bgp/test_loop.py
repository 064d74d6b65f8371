"""The agent's whole loop: whatever the order of what it hears, it ends where a fresh one would."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from bgp.model import PathsReceived
from felix_py.datastore.keys import AffinityKey, BlockKey, Key, ResourceKey
from felix_py.datastore.model import AffinityState, BlockAffinity, Kind
from felix_py.datastore.values import Value
from tests.support.bgp_cluster import ME, bgp_peer, block, node, path, pool
from tests.unit.bgp.world import PeerSide, World

PEERS = ("10.0.0.2", "10.0.0.3", "10.0.0.9")
PREFIXES = ("10.244.2.0/26", "10.244.3.0/26", "10.244.1.5/32", "192.0.2.0/24", "10.9.0.0/26")
MINE = ip_network("10.244.1.0/26")


def resource(kind: Kind, name: str) -> ResourceKey:
    return ResourceKey(kind, name, "")


CHOICES: dict[Key, tuple[Value | None, ...]] = {
    resource(Kind.IP_POOL, "a"): (pool("a", "10.244.0.0/16"), None, pool("a", "10.9.0.0/16")),
    resource(Kind.IP_POOL, "b"): (None, pool("b", "10.244.3.0/24", disabled=True)),
    resource(Kind.NODE, "node-1"): (node("node-1", "10.0.0.1/24"), node("node-1", None), None),
    resource(Kind.NODE, "node-2"): (
        node("node-2", "10.0.0.2/24"), None, node("node-2", "10.0.0.3/24"),
    ),
    resource(Kind.BGP_PEER, "tor"): (
        None, bgp_peer("tor", peer_ip="10.0.0.9", as_number=65100),
        bgp_peer("tor", peer_ip="10.0.0.9", as_number=64512, max_restart_seconds=0),
    ),
    BlockKey(MINE): (
        block(str(MINE), "node-1", {"10.244.1.5": "node-2"}), block(str(MINE), "node-1"),
        block(str(MINE), "node-2"), None,
    ),
    AffinityKey(ME, MINE): (
        BlockAffinity(AffinityState.CONFIRMED), BlockAffinity(AffinityState.PENDING), None,
    ),
}  # fmt: skip
PUTS = [(key, value) for key, values in CHOICES.items() for value in values]

PEER = st.sampled_from(PEERS)
STEP = st.one_of(
    st.tuples(st.just("put"), st.sampled_from(PUTS)),
    st.tuples(st.just("part"), st.sampled_from(list(CHOICES))),
    st.tuples(st.just("sync"), st.none()),
    st.tuples(st.just("restart"), st.none()),
    st.tuples(st.just("exabgp dies"), st.none()),
    st.tuples(st.just("deaf"), st.integers(1, 3)),
    st.tuples(st.just("down"), st.tuples(PEER, st.booleans())),
    st.tuples(st.just("up"), PEER),
    st.tuples(
        st.just("update"),
        st.tuples(PEER, st.sets(st.sampled_from(PREFIXES)), st.sets(st.sampled_from(PREFIXES))),
    ),
    st.tuples(st.just("rounds"), st.integers(1, 12)),
    st.tuples(st.just("some events"), st.integers(0, 3)),
    st.tuples(st.just("pause"), st.sampled_from([1.0, 6.0, 70.0])),
)


def started(*keys: Key) -> World:
    """A store with the first choice of everything (None: just these), two nodes and a ToR alive."""
    world = World()
    for key, values in CHOICES.items():
        if not keys or key in keys:
            world.put(key, values[0])
    for peer in PEERS:
        as_path = (65100,) if peer == "10.0.0.9" else ()
        said = path("10.244.2.0/26", peer, *as_path)
        world.exabgp.routers[ip_address(peer)] = PeerSide(paths={said.prefixes[0]: said})
    return world


def play(world: World, kind: str, value: Any) -> None:  # noqa: PLR0912  a table
    exabgp = world.exabgp
    match kind:
        case "put":
            world.put(*value)
        case "part":
            world.deliver([value])
        case "sync":
            world.sync()
        case "restart":
            world.restart()
        case "exabgp dies":
            world.exabgp_dies()
        case "deaf":
            exabgp.ignores_reloads = value
        case "down":
            peer, notified = ip_address(value[0]), value[1]
            exabgp.routers[peer].alive = False
            exabgp.disconnect(peer, notified=notified)
        case "up":
            exabgp.routers[ip_address(value)].alive = True
            exabgp.connect(ip_address(value))
        case "update":
            update(world, *value)
        case "rounds":
            for _ in range(value):
                world.round()
        case "some events":
            world.round(events=value)
        case "pause":
            world.round(value)


def update(world: World, text: str, announces: set[str], withdraws: set[str]) -> None:
    """A router's own table changes; it tells if it is up."""
    peer = ip_address(text)
    as_path = (65100,) if text == "10.0.0.9" else ()
    said = tuple(path(prefix, text, *as_path) for prefix in sorted(announces - withdraws))
    router = world.exabgp.routers[peer]
    gone = tuple(p for p in map(ip_network, sorted(withdraws)) if p in router.paths)
    for prefix in gone:
        del router.paths[prefix]
    router.paths.update({one.prefixes[0]: one for one in said})
    if peer in world.exabgp.established and (gone or said):
        world.exabgp.queue.append(PathsReceived(peer, gone, said))


def agrees(world: World) -> None:
    """Routes and announcements are those of the pure decisions, and of a fresh process."""
    world.settle()
    assert world.agent.process.confirmed or not world.agent.sessions.peerings
    assert world.agent.rib.waiting_for() == [
        peer for peer in world.agent.sessions.peerings if peer not in world.exabgp.established
    ]
    found = world.table.gateways()
    assert found == world.expected()
    assert world.out() == world.expected_out()
    world.restart(table=type(world.table)())
    world.settle()
    assert world.table.gateways() == found


@given(st.lists(STEP, max_size=25))
def test_any_order_ends_where_a_fresh_process_would(steps: list[tuple[str, Any]]) -> None:
    world = started()
    for kind, value in steps:
        play(world, kind, value)
    agrees(world)


def test_the_first_routes_are_there_once_store_and_peers_were_heard() -> None:
    world = started()
    agrees(world)
    assert set(map(str, world.table.actual and world.table.gateways())) == {"10.244.2.0/26"}


def test_what_peers_say_before_the_store_is_in_sync_is_not_lost() -> None:
    world = started()
    agrees(world)
    world.restart()
    for _ in range(30):
        world.round()
    update(world, "10.0.0.2", {"10.244.3.0/26"}, set())
    agrees(world)
    assert ip_network("10.244.3.0/26") in world.table.gateways()


def test_pools_that_come_late_let_in_what_was_refused() -> None:
    key = resource(Kind.IP_POOL, "a")
    world = started(*(one for one in CHOICES if one != key))
    world.sync()
    for _ in range(30):
        world.round()
    assert world.table.gateways() == {}
    world.put(key, CHOICES[key][0])
    world.round()
    assert world.table.gateways() != {}


def test_a_node_that_goes_and_comes_back_at_once_is_heard_and_told_again() -> None:
    key = resource(Kind.NODE, "node-2")
    for rounds in (1, 2, 5, 14, 15, 16, 20, 30):
        world = started()
        world.settle()
        world.put(key, None)
        for _ in range(rounds):
            world.round()
        world.put(key, CHOICES[key][0])
        agrees(world)


def test_nothing_is_installed_before_this_node_has_an_address() -> None:
    key = resource(Kind.NODE, "node-1")
    world = started(*(one for one in CHOICES if one != key))
    world.settle()
    assert world.files.text is None
    assert world.files.listen is None
    world.put(key, CHOICES[key][0])
    agrees(world)


def test_while_the_store_is_away_peers_still_take_their_routes_back() -> None:
    world = started()
    world.settle()
    world.in_sync = False
    update(world, "10.0.0.2", set(), {"10.244.2.0/26"})
    for _ in range(3):
        world.round()
    assert world.table.gateways() == {}
