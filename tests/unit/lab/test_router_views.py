"""What routers say of themselves, read from their own tools' output."""

from __future__ import annotations

import pytest

from felix_py.lab import router
from felix_py.lab.errors import LabError

BIRD_PROTOCOLS = """\
BIRD 2.0.12 ready.
Access restricted
Name       Proto      Table      State  Since         Info
device1    Device     ---        up     10:14:40.123
direct1    Direct     ---        up     10:14:40.123
node_a1    BGP        ---        up     10:14:42.001  Established
node_a2    BGP        ---        start  10:14:40.123  Active        Socket: Connection refused
tor_b      BGP        ---        down   10:14:40.123
"""

BIRD_ROUTES = """\
BIRD 2.0.12 ready.
Access restricted
Table master4:
10.10.1.0/24         unicast [direct1 10:14:40.123] * (240)
\tdev rack0
10.244.0.0/26        unicast [node_a1 10:14:42.123] * (100) [AS64512i]
\tvia 10.10.1.11 on rack0
10.244.7.0/26        unicast [node_a2 10:14:42.123] * (100) [i]
\tvia 10.10.1.12 on rack0
10.244.9.0/26        unicast [tor_b 10:14:42.123] * (100) [AS64512?]
\tvia 10.10.255.1 on tor-b weight 1
\tvia 10.10.255.3 on tor-c weight 1
"""

FRR_SUMMARY = """\
{"ipv4Unicast":{"routerId":"10.10.2.1","as":65002,"peers":{
 "10.10.2.11":{"state":"Established"},"10.10.2.12":{"state":"Active"}}}}
"""

FRR_ROUTES = """\
{"10.244.0.0/26":[{"selected":true,"nexthops":[{"ip":"10.10.255.0","fib":true},
 {"ip":"10.10.255.8","active":true}]}],
 "10.244.1.0/26":[{"nexthops":[{"ip":"10.10.255.0"}]}]}
"""


def test_birds_sessions_are_up_only_when_established() -> None:
    assert router.parse_bird_protocols(BIRD_PROTOCOLS) == {
        "node_a1": "up",
        "node_a2": "Active",
        "tor_b": "down",
    }


def test_of_birds_routes_those_from_bgp_count_with_all_their_next_hops() -> None:
    assert router.parse_bird_routes(BIRD_ROUTES) == {
        "10.244.0.0/26": ["10.10.1.11"],
        "10.244.7.0/26": ["10.10.1.12"],
        "10.244.9.0/26": ["10.10.255.1", "10.10.255.3"],
    }


def test_frrs_sessions_are_up_only_when_established() -> None:
    assert router.parse_frr_summary(FRR_SUMMARY) == {"10.10.2.11": "up", "10.10.2.12": "Active"}


def test_of_frrs_routes_those_in_the_kernel_count() -> None:
    assert router.parse_frr_routes(FRR_ROUTES) == {"10.244.0.0/26": ["10.10.255.0"]}


def test_a_router_that_answers_no_json_is_an_error_and_not_an_empty_table() -> None:
    with pytest.raises(LabError, match="not JSON"):
        router.parse_frr_summary("Exiting: failed to connect to any daemons.")
