"""Facts of a node as a document that travels."""

from __future__ import annotations

from ipaddress import ip_address, ip_interface, ip_network

import pytest

from felix_py.ctl.calc.facts import (
    AddressFact,
    HopFact,
    LinkFact,
    LookupFact,
    NodeFacts,
    RouteFact,
    decode,
    encode,
)

POD = ip_address("10.244.1.1")
ROUTE = RouteFact(ip_network("10.244.1.0/26"), hops=(HopFact("eth0", ip_address("10.10.1.1")),))
FACTS = NodeFacts(
    "node-a1",
    links=(LinkFact("vxlan.calico", local=ip_address("10.10.1.11"), vni=4096),),
    addresses=(AddressFact("eth0", ip_interface("fd00::1/64")),),
    lookups=(LookupFact(POD, route=ROUTE),),
    daemons={},
)


def test_what_is_written_is_read_again_with_addresses_as_addresses() -> None:
    assert decode(encode(FACTS)) == FACTS


def test_a_field_that_a_newer_node_tells_is_passed_over() -> None:
    assert decode(b'{"node": "a", "weather": "fine"}') == NodeFacts("a")


def test_an_address_that_is_none_is_refused_with_its_place() -> None:
    with pytest.raises(ValueError, match=r"lookups\[0\]\.destination"):
        decode(b'{"node": "a", "lookups": [{"destination": "nowhere"}]}')


def test_a_question_that_was_not_asked_has_no_answer() -> None:
    assert FACTS.lookup(POD) == FACTS.lookups[0]
    assert FACTS.lookup(POD, ip_address("10.244.0.1"), "eth0") is None
