"""The configuration text, reviewed as files under tests/golden/bgp (FELIX_PY_UPDATE_GOLDEN=1 rewrites)."""

from __future__ import annotations

import os
from dataclasses import replace
from ipaddress import IPv4Address, ip_address
from pathlib import Path

import pytest

from bgp.exabgp_config import api_name, described, render
from bgp.model import Family, Peering

GOLDEN = Path(__file__).parents[2] / "golden" / "bgp"
RELAY = "/usr/bin/python3 -I /opt/felix-py/bgp/relay.py /run/felix-py/bgp/relay.sock"
BOTH = (Family.IPV4, Family.IPV6)


def peering(peer: str, local: str, **changes: object) -> Peering:
    values: dict[str, object] = {
        "peer": ip_address(peer),
        "local": ip_address(local),
        "local_as": 64512,
        "peer_as": 64512,
        "router_id": IPv4Address("10.99.0.1"),
        **changes,
    }
    return Peering(**values)  # type: ignore[arg-type]


CASES = {
    "no_peers": [],
    "mesh_and_tor": [
        peering("10.99.0.3", "10.99.0.1", peer_as=65003, password="se cret#1;}", ttl_security=1),
        peering("10.99.0.2", "10.99.0.1", families=BOTH),
    ],
    "ipv6_session": [peering("fd99::2", "fd99::1", families=(Family.IPV6,), port=1790)],
    "without_graceful_restart": [
        peering("10.99.0.9", "10.99.0.1", restart_seconds=0, hold_seconds=0)
    ],
}


@pytest.mark.parametrize("name", CASES)
def test_the_text_is_as_reviewed(name: str) -> None:
    text = render(CASES[name], RELAY)
    path = GOLDEN / f"{name}.conf"
    if os.environ.get("FELIX_PY_UPDATE_GOLDEN"):
        path.write_text(text)
    assert text == path.read_text()


def test_equal_sets_give_equal_text_whatever_their_order() -> None:
    peerings = CASES["mesh_and_tor"]
    assert render(peerings, RELAY) == render(peerings[::-1], RELAY)


def test_the_description_tells_texts_apart_and_nothing_else_does() -> None:
    one = render([peering("10.99.0.2", "10.99.0.1", password="a")], RELAY)
    other = render([peering("10.99.0.2", "10.99.0.1", password="b")], RELAY)
    assert described(one) in one
    assert described(one) != described(other)
    assert described(render([], RELAY)) == ""


def test_api_names_are_unique_for_different_peers() -> None:
    names = [
        api_name(ip_address(text)) for text in ("10.0.0.1", "10.0.0.11", "fd00::1", "fd00::1:1")
    ]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"password": 'a"b'}, "password"),
        ({"password": "a\nb"}, "password"),
        ({"password": "x" * 81}, "password"),
        ({"password": "\u00e9"}, "password"),
        ({"hold_seconds": 2}, "hold time"),
        ({"hold_seconds": 65536}, "hold time"),
        ({"restart_seconds": 4096}, "restart time"),
        ({"ttl_security": 255}, "ttl security"),
        ({"families": ()}, "families"),
        ({"local": ip_address("fd99::1")}, "local address"),
    ],
)
def test_what_the_file_cannot_carry_is_refused_by_name(
    changes: dict[str, object], field: str
) -> None:
    with pytest.raises(ValueError, match=f"10.99.0.2: {field}"):
        render([replace(peering("10.99.0.2", "10.99.0.1"), **changes)], RELAY)  # type: ignore[arg-type]
