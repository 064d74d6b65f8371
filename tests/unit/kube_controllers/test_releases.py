"""What nodes and pods that are gone held is given back late, sure and never on doubt."""

from __future__ import annotations

import pytest

from felix_py.kube_api.model import Ref, Resource
from tests.unit.kube_controllers.world import GRACE_SECONDS, QUARANTINE_SECONDS, Replica, World


@pytest.fixture
def world() -> World:
    return World()


def mirrored_nodes(world: World, count: int) -> list[str]:
    names = [f"n{number}" for number in range(count)]
    for name in names:
        world.kube_node(name)
        world.node(name)
    return names


def three_nodes_and_a_pod(world: World) -> Replica:
    """The pod web on n1 with its address, all of it known to the replica."""
    mirrored_nodes(world, 3)
    world.block("web", node="n1")
    world.pod("web")
    world.endpoint("web", "10.0.0.0")
    one = world.replica()
    one.turn()
    return one


def test_a_deleted_node_gives_back_what_it_held_after_its_grace(world: World) -> None:
    one = three_nodes_and_a_pod(world)
    world.api.delete(Ref(Resource.NODES, "n1"))
    world.api.delete(Ref(Resource.PODS, "web", "default"))
    one.turn()
    world.clock.advance(GRACE_SECONDS - 1)
    one.turn()
    assert world.stored("nodes/n1") is not None
    assert world.held() == ["web"]
    world.clock.advance(2)
    one.turn()
    assert world.stored("nodes/n1") is None
    assert world.held() == []
    assert world.stored("/calico/ipam/v2/host/n1/ipv4/block/10.0.0.0-29") is None
    assert world.stored("nodes/n2") is not None


def test_a_node_object_that_agents_still_at_work_make_again_goes_after_one_more_grace(
    world: World,
) -> None:
    mirrored_nodes(world, 3)
    one = world.replica()
    one.turn()
    for name in ("n1", "n2"):
        world.api.delete(Ref(Resource.NODES, name))
    one.turn()
    world.clock.advance(GRACE_SECONDS + 1)
    one.turn()
    assert world.stored("nodes/n1") is None
    world.node("n1", kubernetes="n1")
    world.node("n2", kubernetes="n2")
    one.turn()
    assert world.stored("nodes/n1") is not None
    world.kube_node("n2")
    one.turn()
    world.clock.advance(GRACE_SECONDS + 1)
    one.turn()
    assert world.stored("nodes/n1") is None
    assert world.stored("nodes/n2") is not None


def test_whoever_leads_then_knows_such_nodes_and_takes_many_for_no_half_list(world: World) -> None:
    world.kube_node("n0")
    world.node("n0")
    for name in ("n1", "n2", "n3"):
        world.node(name, kubernetes=name)
    two = world.replica("two")
    two.turn()
    world.clock.advance(GRACE_SECONDS + 1)
    two.turn()
    assert two.published["warnings"] == []
    assert [n for n in range(4) if world.stored(f"nodes/n{n}")] == [0]


def test_a_node_that_names_another_of_kubernetes_is_left_alone(world: World) -> None:
    world.kube_node("worker-1")
    world.node("calico-name", kubernetes="worker-1")
    one = world.replica()
    one.turn()
    world.clock.advance(GRACE_SECONDS * 10)
    one.turn()
    assert world.stored("nodes/calico-name") is not None


def test_a_deleted_node_keeps_everything_while_kubernetes_has_pods_on_it(world: World) -> None:
    one = three_nodes_and_a_pod(world)
    world.api.delete(Ref(Resource.NODES, "n1"))
    one.turn()
    world.clock.advance(GRACE_SECONDS * 2)
    one.turn()
    assert world.held() == ["web"]
    world.api.delete(Ref(Resource.PODS, "web", "default"))
    one.turn()
    assert world.held() == []
    assert world.stored("nodes/n1") is None


def test_a_node_that_comes_back_within_its_grace_keeps_everything(world: World) -> None:
    mirrored_nodes(world, 3)
    one = world.replica()
    one.turn()
    world.api.delete(Ref(Resource.NODES, "n1"))
    one.turn()
    world.clock.advance(GRACE_SECONDS - 1)
    world.kube_node("n1")
    one.turn()
    world.clock.advance(GRACE_SECONDS * 2)
    one.turn()
    assert world.stored("nodes/n1") is not None


def test_a_node_that_a_list_lacks_but_a_read_finds_keeps_everything(world: World) -> None:
    mirrored_nodes(world, 3)
    one = world.replica()
    one.turn()
    world.api.faults.hidden = {Ref(Resource.NODES, "n1")}
    one.list_again()
    one.turn()
    world.clock.advance(GRACE_SECONDS + 1)
    one.turn()
    assert world.stored("nodes/n1") is not None


def test_half_a_list_releases_nothing_raises_an_alarm_and_is_forgotten_when_whole(
    world: World,
) -> None:
    names = mirrored_nodes(world, 8)
    one = world.replica()
    one.turn()
    world.api.faults.half_lists = True
    one.list_again()
    one.turn()
    world.clock.advance(QUARANTINE_SECONDS * 2)
    one.turn()
    assert one.published["warnings"]
    assert "lists 4 of the 8 nodes in etcd no more" in one.published["warnings"][0]
    world.api.faults.half_lists = False
    one.list_again()
    one.turn()
    assert one.published["warnings"] == []
    assert all(world.stored(f"nodes/{name}") for name in names)


def test_half_a_list_at_the_start_of_a_process_is_doubted_just_so(world: World) -> None:
    mirrored_nodes(world, 8)
    world.replica().turn()
    world.api.faults.half_lists = True
    two = world.replica()
    world.clock.advance(60)
    two.turn()
    world.clock.advance(QUARANTINE_SECONDS * 2)
    two.turn()
    assert two.published["warnings"]
    assert len([1 for n in range(8) if world.stored(f"nodes/n{n}")]) == 8


def test_many_nodes_that_were_seen_being_deleted_are_no_alarm(world: World) -> None:
    names = mirrored_nodes(world, 4)
    one = world.replica()
    one.turn()
    for name in names[:3]:
        world.api.delete(Ref(Resource.NODES, name))
    one.turn()
    world.clock.advance(GRACE_SECONDS + 1)
    one.turn()
    assert [name for name in names if world.stored(f"nodes/{name}")] == names[3:]


def test_a_node_that_never_was_kubernetes_is_left_alone(world: World) -> None:
    mirrored_nodes(world, 2)
    world.node("bare-metal")
    one = world.replica()
    one.turn()
    world.clock.advance(GRACE_SECONDS * 10)
    one.turn()
    assert world.stored("nodes/bare-metal") is not None


def test_a_vanished_pods_address_stays_in_quarantine_and_goes_then(world: World) -> None:
    world.block("web", "db")
    world.pod("web")
    world.pod("db")
    gone, stays = world.endpoint("web", "10.0.0.0"), world.endpoint("db", "10.0.0.1")
    one = world.replica()
    one.turn()
    world.api.delete(Ref(Resource.PODS, "web", "default"))
    one.turn()
    world.clock.advance(QUARANTINE_SECONDS - 1)
    one.turn()
    assert world.held() == ["db", "web"]
    world.clock.advance(2)
    one.turn()
    assert world.held() == ["db"]
    assert world.stored(gone.path) is None
    assert world.stored(stays.path) is not None
    assert world.stored("/calico/ipam/v2/handle/net.c-web") is None


def test_a_pod_of_the_same_name_that_came_back_keeps_the_address(world: World) -> None:
    world.block("web")
    world.pod("web")
    world.endpoint("web", "10.0.0.0")
    one = world.replica()
    one.turn()
    world.api.delete(Ref(Resource.PODS, "web", "default"))
    one.turn()
    world.clock.advance(QUARANTINE_SECONDS - 1)
    world.pod("web")
    one.turn()
    world.clock.advance(QUARANTINE_SECONDS)
    one.turn()
    assert world.held() == ["web"]


def test_an_address_that_is_another_pods_by_then_stays_that_pods(world: World) -> None:
    world.block("other")
    world.pod("web")
    world.pod("other")
    stale, _ = world.endpoint("web", "10.0.0.0"), world.endpoint("other", "10.0.0.0")
    one = world.replica()
    one.turn()
    world.api.delete(Ref(Resource.PODS, "web", "default"))
    one.turn()
    world.clock.advance(QUARANTINE_SECONDS + 1)
    one.turn()
    assert world.stored(stale.path) is None
    assert world.held() == ["other"]
