"""Fast prefixes are ipaddress's own, in every respect that counts."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bgp.model import Family
from bgp.prefixes import address, prefix


def family(text: str) -> Family:
    return Family.IPV6 if ":" in text else Family.IPV4


@given(st.ip_addresses(), st.integers(0, 128))
def test_they_equal_plain_ones_and_have_the_same_hash(value: object, length: int) -> None:
    plain_address = ip_address(str(value))
    length = min(length, plain_address.max_prefixlen)
    plain = ip_network(f"{value}/{length}", strict=False)
    made = prefix(str(plain), family(str(plain)))
    assert made == plain
    assert plain == made
    assert hash(made) == hash(plain)
    assert str(made) == str(plain)
    assert {plain: 1}[made] == 1
    assert made.prefixlen == plain.prefixlen
    assert (made.num_addresses, made.broadcast_address) == (
        plain.num_addresses,
        plain.broadcast_address,
    )
    fast = address(str(value))
    assert fast == plain_address
    assert hash(fast) == hash(plain_address)
    assert (fast in made) == (plain_address in plain)
    assert sorted([fast, plain_address]) == [plain_address, plain_address]


@pytest.mark.parametrize(
    "text", ["10.0.0.1/24", "10.0.0/24", "10.0.0.256/32", "10.0.0.0/33", "x", "", "fd00::1/64"]
)
def test_what_is_no_network_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        prefix(text, family(text))


def test_a_network_and_its_parts_behave() -> None:
    made = prefix("10.0.0.0/24", Family.IPV4)
    assert [str(part) for part in made.subnets(new_prefix=25)] == ["10.0.0.0/25", "10.0.0.128/25"]
    assert made.supernet(new_prefix=16) == ip_network("10.0.0.0/16")
    assert prefix("10.0.0.7", Family.IPV4) == ip_network("10.0.0.7/32")
