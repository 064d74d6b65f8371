"""Answers of ExaBGP 5.0.15's `show` commands, as captured."""

from __future__ import annotations

import json
from ipaddress import ip_address, ip_network

import pytest

from bgp.model import Attributes, Family
from bgp.readback import parse_announced, parse_neighbors, show_announced

NEIGHBOR = {
    "state": "up", "duration": 5, "fsm": "ESTABLISHED",
    "local": {
        "capabilities": {}, "families": {"ipv4 unicast": True, "ipv6 unicast": True}, "add-path": {},
        "address": "10.99.0.1", "as": 64512, "id": "10.99.0.1", "hold": 9,
    },
    "peer": {
        "capabilities": {"graceful-restart": True, "asn4": True},
        "families": {"ipv4 unicast": True, "ipv6 unicast": False}, "add-path": {},
        "address": "10.99.0.2", "as": 65002, "id": "10.99.0.2", "hold": 9,
    },
    "messages": {"sent": {}, "received": {}}, "capabilities": [], "families": [], "add-path": {},
}  # fmt: skip
DOWN = {
    **NEIGHBOR, "state": "down", "fsm": "ACTIVE",
    "peer": {
        "capabilities": {"graceful-restart": None}, "families": {"ipv4 unicast": None},
        "address": "10.99.0.3", "as": 64512, "id": None, "hold": None,
    },
}  # fmt: skip


def test_neighbours_are_read_with_what_identifies_them() -> None:
    up, down = parse_neighbors(["noise", json.dumps([NEIGHBOR, DOWN])])
    assert (up.peer, up.local) == (ip_address("10.99.0.2"), ip_address("10.99.0.1"))
    assert (up.local_as, up.peer_as, up.hold_seconds) == (64512, 65002, 9)
    assert up.established
    assert up.graceful
    assert up.families == {Family.IPV4}
    assert not down.established
    assert not down.families


@pytest.mark.parametrize("lines", [[], ["{}"], ["[{}]"], ["[1"]])
def test_an_answer_that_is_none_raises(lines: list[str]) -> None:
    with pytest.raises(ValueError):
        parse_neighbors(lines)


def test_announced_routes_are_read_per_peer_with_their_attributes() -> None:
    line = json.dumps(
        {
            "peer": {"address": "10.99.0.2"},
            "route": {
                "nlri": {
                    "prefix": "192.168.1.0/26",
                    "nexthop": "10.99.0.1",
                    "family": {"afi": "ipv4", "safi": "unicast"},
                },
                "attributes": {
                    "origin": "igp",
                    "as-path": {"0": {"element": "as-sequence", "value": [64512, 65001]}},
                    "next-hop": "10.99.0.1",
                    "med": 5,
                    "local-preference": 100,
                    "community": ["64512:7", "no-export"],
                },
            },
        }
    )
    held = parse_announced([line])
    attributes = Attributes("10.99.0.1", (64512, 65001), 100, 5, ("64512:7", "no-export"))
    assert held == {ip_address("10.99.0.2"): {ip_network("192.168.1.0/26"): attributes}}
    assert parse_announced([]) == {}
    with pytest.raises(ValueError):
        parse_announced(["exabgp 5.0.15"])


def test_one_peer_or_all_can_be_asked_for() -> None:
    assert show_announced(None) == "show adj-rib out json"
    assert show_announced(ip_address("10.0.0.1")) == "show adj-rib out 10.0.0.1 json"
