"""Who is translated, and whose tunnels are looked at."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

from felix_py.agent.calc import nat, senders
from felix_py.agent.calc.senders import Tunnels
from felix_py.agent.snapshot import Snapshot
from felix_py.datastore.model import EncapMode, IPPool, Metadata, PoolName
from tests.unit.agent.builders import ME, cali


def pool(name: str, cidr: str, *, natted: bool = False, disabled: bool = False) -> IPPool:
    network = ip_network(cidr)
    return IPPool(Metadata(name), network, 26, nat_outgoing=natted, disabled=disabled)


def due(source: str, destination: str) -> bool:
    pools = [
        pool("a", "10.244.0.0/16", natted=True, disabled=True),
        pool("b", "10.8.0.0/16", disabled=True),
        pool("c", "10.9.0.0/16"),
    ]
    asked = nat.outgoing(pools).due(4, ["192.168.50.11"])
    return asked(ip_address(source).packed, ip_address(destination).packed)


def test_a_natted_pool_is_translated_towards_the_world_even_when_it_is_disabled() -> None:
    assert due("10.244.0.7", "198.51.100.1")
    assert not due("10.9.0.7", "198.51.100.1")


def test_nothing_is_translated_towards_pools_disabled_ones_included_or_spared_hosts() -> None:
    assert not due("10.244.0.7", "10.244.3.3")
    assert not due("10.244.0.7", "10.8.255.255")
    assert not due("10.244.0.7", "192.168.50.11")
    assert due("10.244.0.7", "10.10.0.0")


def snapshot(*pools: IPPool, links: tuple[str, ...] = ()) -> Snapshot:
    return Snapshot(
        ME,
        pools={PoolName(each.name): each for each in pools},
        links={name: cali(name, index) for index, name in enumerate(links, 1)},
    )


def test_senders_are_looked_at_for_tunnels_that_a_pool_asks_for() -> None:
    ipip = IPPool(Metadata("a"), ip_network("10.0.0.0/16"), 26, ipip_mode=EncapMode.ALWAYS)
    vxlan = IPPool(Metadata("b"), ip_network("fd00::/64"), 122, vxlan_mode=EncapMode.CROSS_SUBNET)
    assert senders.tunnels(snapshot()) == Tunnels()
    assert senders.tunnels(snapshot(ipip, vxlan)) == Tunnels(ipip=True, vxlan=frozenset({6}))


def test_senders_are_looked_at_as_long_as_the_device_is_up() -> None:
    assert senders.tunnels(snapshot(links=("tunl0", "vxlan.calico"))) == Tunnels(
        ipip=True, vxlan=frozenset({4})
    )
