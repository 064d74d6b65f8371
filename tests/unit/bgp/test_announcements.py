"""What a node tells its peers."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_network
from typing import Any

from bgp.calc.announcements import INTERNAL_LOCAL_PREFERENCE, announced, for_session
from bgp.model import Family
from felix_py.datastore.floating import FloatingAddress
from felix_py.datastore.model import Metadata
from felix_py.datastore.model_bgp import BGPConfiguration, PrefixAdvertisement
from tests.support.bgp_cluster import block, endpoint, peering, pool, snapshot

POOL = pool("blue", "10.244.0.0/16")
POOL6 = pool("six", "fd00:10::/64")


def prefixes(**parts: Any) -> set[str]:
    return {str(prefix) for prefix in announced(snapshot(**{"pools": [POOL, POOL6], **parts}))}


def test_a_confirmed_block_is_announced_as_a_whole() -> None:
    mine = block("10.244.1.0/26", "node-1")
    assert prefixes(blocks=[mine], endpoints=[endpoint("a", "10.244.1.5/32")]) == {"10.244.1.0/26"}


def test_a_pending_block_is_not_announced_but_its_pods_are() -> None:
    mine = block("10.244.1.0/26", "node-1")
    parts = {"blocks": [mine], "pending": ["10.244.1.0/26"]}
    assert prefixes(**parts, endpoints=[endpoint("a", "10.244.1.5/32")]) == {"10.244.1.5/32"}


def test_a_borrowed_address_is_announced_on_its_own() -> None:
    parts = {"blocks": [block("10.244.1.0/26", "node-1")]}
    found = prefixes(**parts, endpoints=[endpoint("a", "10.244.9.5/32", "10.244.1.9/32")])
    assert found == {"10.244.1.0/26", "10.244.9.5/32"}


def test_a_floating_address_is_announced_where_felix_serves_it() -> None:
    led = FloatingAddress(ip_address("10.244.1.5"), ip_address("10.244.200.9"))
    outside = FloatingAddress(ip_address("10.244.1.5"), ip_address("203.0.113.9"))
    pod = replace(endpoint("a", "10.244.1.5/32"), floating=(led, outside))
    made = snapshot(pools=[POOL], blocks=[block("10.244.1.0/26", "node-1")], endpoints=[pod])
    assert set(map(str, announced(made))) == {"10.244.1.0/26"}
    made.floating = True
    assert set(map(str, announced(made))) == {"10.244.1.0/26", "10.244.200.9/32"}


def test_both_families_are_announced() -> None:
    parts = {"blocks": [block("fd00:10::40/122", "node-1")]}
    found = prefixes(**parts, endpoints=[endpoint("a", "fd00:10::41/128", "fd00:10::1/128")])
    assert found == {"fd00:10::40/122", "fd00:10::1/128"}


def test_nothing_outside_pools_or_of_pools_kept_from_bgp_is_announced() -> None:
    pools = [pool("quiet", "10.245.0.0/16", disable_bgp_export=True)]
    blocks = [block("10.245.1.0/26", "node-1")]
    assert prefixes(pools=pools, blocks=blocks, endpoints=[endpoint("a", "10.246.0.1/32")]) == set()


def test_prefix_advertisements_add_their_communities() -> None:
    advertisements = (
        PrefixAdvertisement(ip_network("10.244.0.0/16"), ("64512:1",)),
        PrefixAdvertisement(ip_network("10.244.1.0/24"), ("64512:1:2", "64512:1")),
        PrefixAdvertisement(ip_network("10.244.2.0/24"), ("64512:9",)),
    )
    settings = BGPConfiguration(Metadata("default"), prefix_advertisements=advertisements)
    parts = snapshot(
        pools=[POOL], blocks=[block("10.244.1.0/26", "node-1")], configurations=[settings]
    )
    assert announced(parts) == {ip_network("10.244.1.0/26"): ("64512:1", "64512:1:2")}


def test_per_node_advertisements_replace_the_global_ones() -> None:
    one = PrefixAdvertisement(ip_network("10.244.0.0/16"), ("64512:1",))
    configurations = [
        BGPConfiguration(Metadata("default"), prefix_advertisements=(one,)),
        BGPConfiguration(Metadata("node.node-1"), prefix_advertisements=()),
    ]
    parts = snapshot(
        pools=[POOL], blocks=[block("10.244.1.0/26", "node-1")], configurations=configurations
    )
    assert announced(parts) == {ip_network("10.244.1.0/26"): ()}


def test_a_session_hears_its_family_with_our_address_as_next_hop() -> None:
    what = {ip_network("10.244.1.0/26"): ("64512:1",), ip_network("fd00:10::40/122"): ()}
    internal = for_session(peering("10.0.0.2"), what)
    assert {str(p): (a.next_hop, a.local_preference, a.as_path) for p, a in internal.items()} == {
        "10.244.1.0/26": ("10.0.0.1", INTERNAL_LOCAL_PREFERENCE, ())
    }
    external = for_session(peering("fd00::2", "fd00::1", 65001), what)
    assert {str(p): (a.next_hop, a.local_preference) for p, a in external.items()} == {
        "fd00:10::40/122": ("fd00::1", None)
    }


def test_a_session_that_carries_both_families_names_our_address_of_each() -> None:
    what = {ip_network("10.244.1.0/26"): ("64512:1",), ip_network("fd00:10::40/122"): ("64512:1",)}
    both = peering("10.0.0.2", families=(Family.IPV4, Family.IPV6), second=ip_address("fd00::1"))
    assert {str(p): a.next_hop for p, a in for_session(both, what).items()} == {
        "10.244.1.0/26": "10.0.0.1",
        "fd00:10::40/122": "fd00::1",
    }
