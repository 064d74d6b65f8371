"""A node's tunnel addresses: taken from the pools that want them, kept, replaced, given back in time."""

from __future__ import annotations

from ipaddress import IPv4Address, ip_address
from typing import Any

import pytest

from felix_py.datastore.felix_configuration import FelixConfiguration
from felix_py.datastore.keys import ResourceKey
from felix_py.datastore.model import HandleId, IPAddress, Kind, Node, NodeName
from ipam import admin
from ipam.admin import AddressRelease, Office
from ipam.census import OTHERS_SECONDS
from ipam.requests import AssignRequest
from ipam.tunnels import TunnelKind, current, present, published, wanted_pools
from ipam.upkeep import LEAVING_SECONDS, LONGEST_RETRY_SECONDS, LOOK_AGAIN_SECONDS
from tests.unit.ipam.cluster import Cluster, Machine, addresses

IPIP = "ipip-tunnel-addr-a"
VXLAN = "vxlan-tunnel-addr-a"
VXLAN_V6 = "vxlan-v6-tunnel-addr-a"
NOTHING_SET = FelixConfiguration()
NODE = ResourceKey(Kind.NODE, "a").path


def first(*_: object) -> int:
    return 0


class World:
    """Node a with its cni server's allocator, and the devices of its host."""

    def __init__(self) -> None:
        self.cluster = Cluster()
        self.cluster.node("a", rack="one")
        self.carried: dict[TunnelKind, frozenset[IPAddress]] = {}
        self.a = self.machine()

    def machine(self) -> Machine:
        return Machine(self.cluster.store, "a", start_at=first, devices=lambda: self.carried)

    def pool(self, name: str, cidr: str = "10.0.0.0/24", size: int = 29, **spec: Any) -> None:
        self.cluster.pool(name, cidr, size, **spec)

    def publish(self, **spec: Any) -> None:
        self.cluster.resource(Kind.NODE, "a", spec, {"rack": "one"})

    def carry(self, kind: TunnelKind, *given: str) -> None:
        self.carried[kind] = frozenset(map(ip_address, given))

    def go(self, seconds: float = 0) -> None:
        self.a.clock.advance(seconds)
        self.a.sync()
        self.a.settle_down()

    def held(self) -> dict[str, list[str]]:
        """handle -> addresses, read from the blocks; every handle key says the same blocks."""
        found: dict[str, list[str]] = {}
        for block in self.cluster.blocks().values():
            for ordinal, index in enumerate(block.allocations):
                if index is not None:
                    handle = block.attributes[index].handle_id or ""
                    found.setdefault(handle, []).append(str(block.cidr[ordinal]))
        for handle in found:
            assert self.cluster.handle(handle) is not None
        return {handle: sorted(given) for handle, given in found.items()}


@pytest.fixture
def world() -> World:
    return World()


def test_each_kind_of_tunnel_gets_one_address_with_calicos_handle_and_attributes(
    world: World,
) -> None:
    world.pool("one", ipipMode="CrossSubnet")
    world.pool("two", "10.0.1.0/24", vxlanMode="Always")
    world.pool("six", "fd00::/112", 122, vxlanMode="CrossSubnet")
    world.go()
    assert world.held() == {IPIP: ["10.0.0.0"], VXLAN: ["10.0.1.0"], VXLAN_V6: ["fd00::"]}
    secondary = {
        attribute.handle_id: dict(attribute.secondary)
        for block in world.cluster.blocks().values()
        for attribute in block.attributes
    }
    assert secondary == {
        IPIP: {"node": "a", "type": "ipipTunnelAddress"},
        VXLAN: {"node": "a", "type": "vxlanTunnelAddress"},
        VXLAN_V6: {"node": "a", "type": "vxlanV6TunnelAddress"},
    }


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"ipipMode": "Never"},
        {"ipipMode": "Always", "disabled": True},
        {"ipipMode": "Always", "nodeSelector": "rack == 'two'"},
        {"ipipMode": "Always", "allowedUses": ["Workload"]},
    ],
)
def test_no_address_is_taken_where_no_pool_asks_for_it(world: World, spec: dict[str, Any]) -> None:
    world.pool("one", **spec)
    world.go()
    assert world.held() == {}


def test_of_several_pools_the_first_by_name_gives_and_the_next_one_helps_out(world: World) -> None:
    world.pool("a", "10.0.9.0/30", 30, ipipMode="Always")
    world.pool("b", "10.0.1.0/29", 29, ipipMode="Always")
    world.a.assign("pods", count=3, pools=("a",))
    world.go()
    assert world.held()[IPIP] == ["10.0.9.0"]
    admin.release_addresses(Office(world.cluster.store), [AddressRelease(ip_address("10.0.9.0"))])
    world.a.assign("another", pools=("a",))
    world.go(LOOK_AGAIN_SECONDS)
    assert world.held()[IPIP] == ["10.0.1.0"]


def test_a_server_that_starts_again_keeps_the_address_and_writes_nothing(world: World) -> None:
    world.pool("one", ipipMode="Always")
    world.go()
    before = world.cluster.store.revision
    world.a = world.machine()  # opens its session
    started = world.cluster.store.revision
    world.go()
    world.go(LOOK_AGAIN_SECONDS)
    assert world.held() == {IPIP: ["10.0.0.0"]}
    assert (started - before, world.cluster.store.revision - started) == (1, 0)


def test_an_address_goes_only_when_nobody_publishes_and_no_device_carries_it(world: World) -> None:
    world.pool("one", ipipMode="Always")
    world.go()
    world.publish(bgp={"ipv4IPIPTunnelAddr": "10.0.0.0"})
    world.carry(TunnelKind.IPIP, "10.0.0.0")
    world.pool("one")
    world.go()
    assert world.held() == {IPIP: ["10.0.0.0"]}
    assert world.a.allocator.status()["tunnelAddresses"] == {
        "ipipTunnelAddress": {"address": None, "leaving": ["10.0.0.0"]}
    }
    world.publish()
    world.go(LEAVING_SECONDS)
    assert world.held() == {IPIP: ["10.0.0.0"]}, "tunl0 still carries it"
    world.carry(TunnelKind.IPIP)
    world.go(LEAVING_SECONDS)
    assert world.held() == {}
    assert world.cluster.handle(IPIP) is None


def test_a_node_that_publishes_at_that_very_moment_keeps_its_address(world: World) -> None:
    world.pool("one", ipipMode="Always")
    world.go()
    world.pool("one")
    world.a.sync()
    world.publish(bgp={"ipv4IPIPTunnelAddr": "10.0.0.0"})
    world.a.settle_down()
    assert world.held() == {IPIP: ["10.0.0.0"]}


def test_an_address_outside_the_pools_is_replaced_before_it_is_given_back(world: World) -> None:
    world.pool("one", vxlanMode="Always")
    world.go()
    world.publish(ipv4VXLANTunnelAddr="10.0.0.0")
    world.carry(TunnelKind.VXLAN, "10.0.0.0")
    world.pool("one", disabled=True, vxlanMode="Always")
    world.pool("two", "10.0.1.0/24", vxlanMode="Always")
    world.go()
    assert world.held() == {VXLAN: ["10.0.0.0", "10.0.1.0"]}
    world.publish(ipv4VXLANTunnelAddr="10.0.1.0")
    world.carry(TunnelKind.VXLAN, "10.0.1.0")
    world.go()
    assert world.held() == {VXLAN: ["10.0.1.0"]}


def test_a_published_address_that_ipam_lost_is_taken_in_place_before_any_pod_gets_it(
    world: World,
) -> None:
    world.pool("one", ipipMode="Always")
    world.publish(bgp={"ipv4IPIPTunnelAddr": "10.0.0.1"})
    world.a.sync()
    ticket = world.a.submit(pod("net.c1", count=2))
    world.a.settle_down()
    assert addresses(ticket.wait(0)) == ["10.0.0.0", "10.0.0.2"]
    assert world.held()[IPIP] == ["10.0.0.1"]


def test_after_a_restore_the_tunnels_address_is_held_before_other_nodes_give_anything_out(
    world: World,
) -> None:
    old = world.cluster.store.snapshot()
    world.pool("one", ipipMode="Always")
    world.go()
    world.carry(TunnelKind.IPIP, "10.0.0.0")
    world.cluster.store.restore(old)
    world.pool("one", ipipMode="Always")
    world.pool("two", "10.0.1.0/24", vxlanMode="Always")
    world.a.sync(frozen="the store went back")
    world.a.settle_down(2)
    world.a.sync()
    world.a.settle_down(3)
    assert world.held() == {IPIP: ["10.0.0.0"]}, "nothing new is taken yet"
    world.go(OTHERS_SECONDS)
    assert world.held() == {IPIP: ["10.0.0.0"], VXLAN: ["10.0.1.0"]}


def test_the_address_of_the_device_is_taken_in_place_when_nothing_is_published(
    world: World,
) -> None:
    world.pool("one", ipipMode="Always")
    world.carry(TunnelKind.IPIP, "10.0.0.3", "192.0.2.1")
    world.go()
    assert world.held() == {IPIP: ["10.0.0.3"]}


def test_a_published_address_that_is_a_pods_by_now_is_replaced(world: World) -> None:
    world.pool("one")
    world.a.assign("net.c1")
    world.pool("one", ipipMode="Always")
    world.publish(bgp={"ipv4IPIPTunnelAddr": "10.0.0.0"})
    world.go()
    assert world.held() == {"net.c1": ["10.0.0.0"], IPIP: ["10.0.0.1"]}


def test_full_pools_are_said_and_asked_again_and_disturb_no_other_kind(world: World) -> None:
    world.pool("one", "10.0.0.0/30", 30, ipipMode="Always")
    world.pool("two", "10.0.1.0/24", vxlanMode="Always")
    world.pool("rest", "10.0.2.0/24")
    world.cluster.reserve("all", "10.0.0.0/30")
    world.go()
    assert world.held() == {VXLAN: ["10.0.1.0"]}
    (why,) = world.a.allocator.status()["noTunnelAddress"]
    assert "one (10.0.0.0/30)" in why
    assert addresses(world.a.assign("net.c1", pools=("rest",))) == ["10.0.2.0"]
    world.cluster.store.delete("/calico/resources/v3/projectcalico.org/ipreservations/all")
    world.go(LONGEST_RETRY_SECONDS)
    assert world.held()[IPIP] == ["10.0.0.0"]
    assert world.a.allocator.status()["noTunnelAddress"] == []


def test_an_address_that_an_administrator_released_is_taken_again(world: World) -> None:
    world.pool("one", ipipMode="Always")
    world.go()
    office = Office(world.cluster.store)
    assert admin.release_addresses(office, [AddressRelease(ip_address("10.0.0.0"))]).released
    assert world.held() == {}
    world.go(LOOK_AGAIN_SECONDS)
    assert len(world.held()[IPIP]) == 1


def test_a_removed_node_leaves_no_tunnel_address_behind(world: World) -> None:
    world.pool("one", ipipMode="Always")
    world.pool("six", "fd00::/112", 122, vxlanMode="Always")
    world.go()
    world.cluster.store.put(f"/calico/ipam/v2/handle/{VXLAN}", b'{"block":{},"deleted":false}')
    admin.remove_node(Office(world.cluster.store), NodeName("a"))
    assert [item.key for item in world.cluster.store.list("/calico/ipam/").items] == []


def test_a_node_without_its_object_takes_and_gives_nothing(world: World) -> None:
    world.pool("one", ipipMode="Always")
    world.go()
    world.cluster.store.delete(NODE)
    world.go(LOOK_AGAIN_SECONDS)
    assert world.held() == {IPIP: ["10.0.0.0"]}


def test_of_two_addresses_the_one_in_a_wanted_pool_is_the_present_one(world: World) -> None:
    world.pool("one", ipipMode="Always")
    world.pool("two", "10.0.1.0/24", ipipMode="Always", nodeSelector="rack == 'two'")
    world.go()
    pools, node = world.a.allocator._view.pools, world.a.allocator._view.own_node
    assert isinstance(node, Node)
    old, new = IPv4Address("10.0.1.0"), IPv4Address("10.0.0.7")
    assert current(TunnelKind.IPIP, [old, new], pools, node, NOTHING_SET) == new
    assert current(TunnelKind.IPIP, [old], pools, node, NOTHING_SET) is None
    assert published(TunnelKind.IPIP, node) is None
    assert [p.name for p in wanted_pools(TunnelKind.IPIP, pools, node, NOTHING_SET)] == ["one"]
    assert wanted_pools(TunnelKind.VXLAN, pools, node, NOTHING_SET) == ()
    held = {"ipipTunnelAddress": {old, new}}
    assert present(held, pools, node, NOTHING_SET) == {"ipipTunnelAddress": new}
    assert present({"ipipTunnelAddress": {old}}, pools, node, NOTHING_SET) == {
        "ipipTunnelAddress": old
    }


@pytest.mark.parametrize(
    ("name", "spec"),
    [
        ("default", {"ipipEnabled": False, "vxlanEnabled": False}),
        ("node.a", {"ipipEnabled": False, "vxlanEnabled": False}),
        ("racks", {"nodeSelector": "rack == 'one'", "ipipEnabled": False, "vxlanEnabled": False}),
    ],
)
def test_tunnels_that_are_switched_off_have_no_address(
    world: World, name: str, spec: dict[str, Any]
) -> None:
    world.pool("one", ipipMode="Always")
    world.pool("two", "10.0.1.0/24", vxlanMode="Always")
    world.go()
    assert set(world.held()) == {IPIP, VXLAN}
    world.cluster.resource(Kind.FELIX_CONFIGURATION, name, spec)
    world.go()
    assert world.held() == {}
    world.cluster.resource(Kind.FELIX_CONFIGURATION, name, {"vxlanEnabled": True})
    world.go()
    assert set(world.held()) == {IPIP, VXLAN}


def pod(handle: str, count: int) -> AssignRequest:
    return AssignRequest(HandleId(handle), {"node": "a"}, count=count)
