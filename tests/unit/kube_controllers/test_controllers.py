"""What Kubernetes has is in etcd within a turn, by whoever leads."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from felix_py.datastore.keys import RESOURCES, ResourceKey
from felix_py.datastore.model import Kind
from felix_py.kube_api.model import (
    KubeNode,
    Lease,
    Meta,
    Namespace,
    NetworkPolicyRef,
    Pod,
    Ref,
    Resource,
    ServiceAccount,
)
from felix_py.kube_controllers.calc.nodes import MIRRORED
from felix_py.kube_controllers.calc.profiles import MARK
from tests.unit.kube_controllers.world import World


@pytest.fixture
def world() -> World:
    return World()


def test_a_namespace_and_an_account_become_profiles_as_calico_writes_them(world: World) -> None:
    world.api.put(Namespace(Meta("shop", labels={"tier": "web"}, uid="u-shop")))
    world.api.put(ServiceAccount(Meta("till.eu", "shop", labels={"pci": "yes"})))
    world.replica().turn()
    shop, till = world.stored("profiles/kns.shop"), world.stored("profiles/ksa.shop.till.eu")
    assert shop is not None
    assert till is not None
    assert shop["spec"] == {
        "ingress": [{"action": "Allow", "source": {}, "destination": {}}],
        "egress": [{"action": "Allow", "source": {}, "destination": {}}],
        "labelsToApply": {"pcns.projectcalico.org/name": "shop", "pcns.tier": "web"},
    }
    assert till["spec"] == {
        "labelsToApply": {"pcsa.pci": "yes", "pcsa.projectcalico.org/name": "till.eu"}
    }
    assert shop["metadata"]["annotations"] == {MARK: "u-shop"}


def test_a_profile_follows_its_namespace_and_goes_with_it(world: World) -> None:
    one = world.replica()
    world.api.put(Namespace(Meta("shop", labels={"tier": "web", "old": "1"})))
    one.turn()
    world.api.put(Namespace(Meta("shop", labels={"tier": "db"})))
    one.turn()
    changed = world.stored("profiles/kns.shop")
    assert changed is not None
    assert changed["spec"]["labelsToApply"] == {
        "pcns.tier": "db",
        "pcns.projectcalico.org/name": "shop",
    }
    world.api.delete(Ref(Resource.NAMESPACES, "shop"))
    one.turn()
    assert world.stored("profiles/kns.shop") is None


def test_what_was_changed_by_hand_is_put_right_and_other_profiles_are_left(world: World) -> None:
    one = world.replica()
    world.api.put(Namespace(Meta("shop")))
    foreign = {"labelsToApply": {"a": "b"}}
    world.resource(ResourceKey(Kind.PROFILE, "kns.gone"), foreign)
    world.resource(ResourceKey(Kind.PROFILE, "mine"), foreign)
    one.turn()
    world.resource(ResourceKey(Kind.PROFILE, "kns.shop"), {"labelsToApply": {"wrong": "1"}})
    one.turn()
    shop = world.stored("profiles/kns.shop")
    assert shop is not None
    assert shop["spec"]["labelsToApply"] == {"pcns.projectcalico.org/name": "shop"}
    for name in ("kns.gone", "mine"):
        left = world.stored(f"profiles/{name}")
        assert left is not None
        assert left["spec"] == foreign


def test_a_nodes_labels_are_mirrored_and_an_operators_own_stay(world: World) -> None:
    one = world.replica()
    world.kube_node("n1", rack="a", old="1")
    world.node("n1", labels={"mine": "yes"})
    one.turn()
    world.kube_node("n1", rack="b")
    one.turn()
    node = world.stored("nodes/n1")
    assert node is not None
    assert node["metadata"]["labels"] == {"mine": "yes", "rack": "b"}
    assert node["metadata"]["annotations"][MIRRORED] == '{"rack":"b"}'


def test_a_pods_labels_reach_its_endpoint(world: World) -> None:
    one = world.replica()
    world.pod("web", app="shop")
    key = world.endpoint("web", "10.0.0.0")
    one.turn()
    found = world.stored(key.path)
    assert found is not None
    assert found["metadata"]["labels"] == {
        "app": "shop",
        "projectcalico.org/namespace": "default",
        "projectcalico.org/orchestrator": "k8s",
        "projectcalico.org/serviceaccount": "default",
    }


def ready(world: World, name: str) -> tuple[str, str, str]:
    node = world.api.get(Ref(Resource.NODES, name))
    assert isinstance(node, KubeNode)
    condition = node.condition("NetworkUnavailable")
    assert condition is not None
    return condition.status, condition.reason, condition.message


def test_the_condition_says_what_felix_and_bgp_say(world: World) -> None:
    one = world.replica()
    world.kube_node("n1")
    one.turn()
    assert ready(world, "n1")[:2] == ("True", "FelixPyIsNotReady")
    world.says("n1", "felix")
    world.says("n1", "bgp", sessions=[{"state": "down"}, {"state": "up"}])
    one.turn()
    assert ready(world, "n1")[:2] == ("False", "FelixPyIsReady")


def test_a_node_that_pods_run_on_is_not_shut_for_a_moments_trouble(world: World) -> None:
    one = world.replica()
    world.kube_node("n1")
    world.says("n1", "felix")
    world.says("n1", "bgp")
    one.turn()
    world.says("n1", "bgp", sessions=[{"state": "down"}])
    one.turn()
    assert ready(world, "n1")[0] == "False"
    world.clock.advance(31)
    one.turn()
    assert ready(world, "n1") == ("True", "FelixPyIsNotReady", "bgp: none of 1 sessions is up")


def test_each_network_policy_is_named_on_itself_on_nodes_and_in_the_status(world: World) -> None:
    one = world.replica()
    world.kube_node("n1")
    one.turn()
    node = world.api.get(Ref(Resource.NODES, "n1"))
    assert isinstance(node, KubeNode)
    assert node.condition("NetworkPolicyNotEnforced") is None
    world.api.put(NetworkPolicyRef(Meta("deny-all", "shop")))
    one.turn()
    one.turn()
    assert [(each.about.name, each.reason) for each in world.api.events] == [
        ("deny-all", "NotEnforced")
    ]
    node = world.api.get(Ref(Resource.NODES, "n1"))
    assert isinstance(node, KubeNode)
    condition = node.condition("NetworkPolicyNotEnforced")
    assert condition is not None
    assert condition.status == "True"
    assert "shop/deny-all" in condition.message
    assert one.published["networkPolicies"] == ["shop/deny-all"]


def test_of_two_replicas_one_writes_and_the_other_takes_over(world: World) -> None:
    one, two = world.replica("one"), world.replica("two")
    one.turn()
    two.turn()
    assert (one.leadership.leads, two.leadership.leads) == (True, False)
    world.api.put(Namespace(Meta("shop")))
    two.turn()
    assert world.stored("profiles/kns.shop") is None
    world.clock.advance(16)
    two.turn()
    assert (one.leadership.leads, two.leadership.leads) == (False, True)
    assert world.stored("profiles/kns.shop") is not None
    one.turn()
    assert not one.leadership.leads


def test_who_cannot_renew_leads_no_more_before_another_may(world: World) -> None:
    one = world.replica("one")
    one.turn()
    world.api.faults.away = True
    seen = []
    for seconds in (9, 2):
        world.clock.advance(seconds)
        one.leadership.step()
        seen.append(one.leadership.leads)
    assert seen == [True, False]
    assert "no connection" in one.leadership.problem


def test_who_ends_in_good_order_lets_the_other_lead_at_once(world: World) -> None:
    one, two = world.replica("one"), world.replica("two")
    one.turn()
    ended = threading.Event()
    ended.set()
    one.leadership.run(ended)
    two.turn()
    assert (one.leadership.leads, two.leadership.leads) == (False, True)


def test_who_comes_second_at_a_free_lease_does_not_lead(world: World) -> None:
    one, two = world.replica("one"), world.replica("two")
    get = world.api.get_lease

    def get_and_be_overtaken(namespace: str, name: str) -> Lease | None:
        found = get(namespace, name)
        world.api.get_lease = get  # type: ignore[method-assign]
        two.leadership.step()
        return found

    world.api.get_lease = get_and_be_overtaken  # type: ignore[method-assign]
    one.leadership.step()
    assert (one.leadership.leads, two.leadership.leads) == (False, True)
    assert one.leadership.problem == ""


def test_a_write_that_the_store_refuses_is_tried_again(world: World) -> None:
    one = world.replica()
    one.turn()
    world.api.put(Namespace(Meta("shop")))
    one._hear_kube()
    world.store.faults.refuse = "quota exceeded"
    one.loop.step()
    world.store.faults.refuse = ""
    assert world.stored("profiles/kns.shop") is None
    world.clock.advance(9)
    one.turn()
    assert world.stored("profiles/kns.shop") is not None


def test_nothing_is_decided_while_the_store_is_not_trusted(world: World) -> None:
    one = world.replica()
    one.turn()
    world.api.put(Namespace(Meta("shop")))
    one.state.store = replace(one.state.store, frozen="it went back")
    one._hear_kube()
    one.loop.step()
    assert world.stored("profiles/kns.shop") is None
    assert "it went back" in one.health.report().why["etcd"]


def test_a_pod_on_another_node_than_its_endpoint_changes_no_labels(world: World) -> None:
    key = world.endpoint("web", "10.0.0.0", node="n1")
    world.api.put(Pod(Meta("web", "default", labels={"app": "new"}), "n2"))
    world.replica().turn()
    found = world.stored(key.path)
    assert found is not None
    assert "labels" not in found["metadata"]
    assert RESOURCES in key.path
