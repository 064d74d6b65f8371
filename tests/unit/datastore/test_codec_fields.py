"""Single fields: the quick way of reading networks agrees with the standard library."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from felix_py.datastore.codec_fields import BadField, duration_seconds, masked_network

OCTET = st.integers(0, 300).map(str) | st.sampled_from(
    ["00", "01", "0", "255", "256", " 1", "\u0661"]
)
LENGTH = st.integers(0, 40).map(lambda n: f"/{n}") | st.sampled_from(["", "/", "/08", "/-1", "/32"])


@given(octets=st.lists(OCTET, min_size=4, max_size=4), length=LENGTH)
def test_ipv4_networks_are_read_as_the_standard_library_reads_them(
    octets: list[str], length: str
) -> None:
    text = ".".join(octets) + length
    try:
        expected = ip_network(text)
    except ValueError:
        with pytest.raises(BadField):
            masked_network("f", text)
    else:
        assert masked_network("f", text) == expected


@given(number=st.integers(0, 2**32 - 1), bits=st.integers(0, 32))
def test_every_masked_network_is_read(number: int, bits: int) -> None:
    network = ip_network((number >> (32 - bits) << (32 - bits), bits))
    assert masked_network("f", str(network)) == network


def test_the_whole_of_ipv4_is_a_network() -> None:
    assert masked_network("f", "0.0.0.0/0") == ip_network("0.0.0.0/0")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1m30s", 90),
        ("0s", 0),
        ("1.5h", 5400),
        ("300ms", 0),
        ("2h45m1s", 9901),
        ("", None),
        ("0", 0),
    ],
)
def test_durations_are_gos(text: str, seconds: int | None) -> None:
    assert duration_seconds("f", text) == seconds


@pytest.mark.parametrize("text", ["5", "1 m", "s", "1x", "-1s", "1m 30s", "\u0661s"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(BadField):
        duration_seconds("f", text)
