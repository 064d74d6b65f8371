"""Which pool an address or a block belongs to."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

from felix_py.datastore.calc.pools import pool_for
from felix_py.datastore.model import IPPool, Metadata


def pool(name: str, cidr: str, *, disabled: bool = False) -> IPPool:
    return IPPool(Metadata(name), ip_network(cidr), 26, disabled=disabled)


POOLS = [
    pool("four", "10.0.0.0/16"),
    pool("six", "fd00::/64"),
    pool("off", "10.1.0.0/16", disabled=True),
]


def test_addresses_and_blocks_of_both_versions_find_their_pool() -> None:
    for what, name in (
        (ip_network("10.0.1.0/26"), "four"),
        (ip_address("10.0.255.255"), "four"),
        (ip_network("10.0.0.0/16"), "four"),
        (ip_address("fd00::1"), "six"),
        (ip_network("fd00::/122"), "six"),
        (ip_address("10.1.0.1"), "off"),
    ):
        found = pool_for(what, POOLS)
        assert found is not None
        assert found.name == name


def test_what_no_pool_holds_wholly_has_none() -> None:
    for what in (ip_address("10.2.0.0"), ip_network("10.0.0.0/15"), ip_address("::1")):
        assert pool_for(what, POOLS) is None


def test_the_longest_of_overlapping_pools_wins_in_any_order() -> None:
    overlapping = [*POOLS, pool("narrow", "10.0.0.0/24"), pool("also", "10.0.0.0/24")]
    for pools in (overlapping, overlapping[::-1]):
        found = pool_for(ip_address("10.0.0.1"), pools)
        assert found is not None
        assert found.name == "also"
