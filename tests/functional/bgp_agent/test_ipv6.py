"""IPv6 in the whole BGP agent: sessions of its own or shared, the same guards, next hops, kernel routes."""

from __future__ import annotations

import pytest

from tests.functional.bgp_agent.machine import Machine
from tests.support.bird import configuration, session

pytestmark = [pytest.mark.root, pytest.mark.etcd]

MINE, MINE6 = "10.244.1.0/26", "fd00:10::40/122"
THEIRS, THEIRS6 = "10.244.2.0/26", "fd00:10::80/122"
OWN = "10.99.0.2"
SHARED = {"felix-py.io/families": "ipv4,ipv6"}


@pytest.fixture
def dual(machine: Machine) -> Machine:
    """Two nodes with both families and a pool for each, nothing of IPv6 in the third."""
    machine.put("ippools/blue6", "IPPool", {"cidr": "fd00:10::/48", "blockSize": 122})
    for number in (1, 2):
        machine.put_node(number, ipv6=True)
    machine.put_block(MINE)
    machine.put_block(MINE6)
    return machine


def with_sessions(machine: Machine, *versions: int, routes: tuple[str, ...]) -> str:
    """BIRD as node 2 with a session of its own per version."""
    ends = {4: (OWN, "10.99.0.1"), 6: ("fd99::2", "fd99::1")}
    sessions = [
        session(f"node{version}", *ends[version], asn=64512, neighbor_asn=64512)
        for version in versions
    ]
    return configuration(OWN, *sessions, routes=routes)


def test_between_nodes_each_family_goes_over_a_session_of_its_own(dual: Machine) -> None:
    text = with_sessions(dual, 4, 6, routes=(THEIRS, THEIRS6))
    bird = dual.bird_with(2, text)
    dual.start()
    dual.until(lambda: dual.learned(6) == {THEIRS6: "fd99::2"})
    dual.until(lambda: dual.learned() == {THEIRS: OWN})
    dual.until(lambda: {MINE, MINE6} <= bird.routes().keys())
    assert bird.routes()[MINE6].protocol == "node6"
    assert bird.routes()[MINE6].next_hop.split()[0] == "fd99::1"
    assert bird.routes()[MINE].protocol == "node4"


def test_the_kernel_is_guarded_in_ipv6_alike(dual: Machine) -> None:
    dual.put_block(MINE6, holders={5: "node-2", 6: "node-3"})
    outside = ("::/0", "2001:db8::/64", MINE6, "fd00:10::46/128", "fd00:10::48/125")
    dual.bird_with(2, with_sessions(dual, 4, 6, routes=(THEIRS6, "fd00:10::45/128", *outside)))
    dual.start()
    dual.until(lambda: dual.learned(6) == {THEIRS6: "fd99::2", "fd00:10::45": "fd99::2"})
    dual.until(lambda: sum(dual.refused().values()) == len(outside))
    assert dual.refused()["a default route"] == 1
    assert dual.refused()["outside pools"] == 1


def test_ipv6_routes_go_over_an_ipv4_session_where_the_peer_object_says_so(dual: Machine) -> None:
    spec = {"peerIP": OWN, "asNumber": 64512}
    dual.put("bgppeers/router", "BGPPeer", spec, annotations=SHARED)
    bird = dual.bird_with(2, with_sessions(dual, 4, routes=(THEIRS, THEIRS6)))
    dual.start()
    dual.until(lambda: dual.learned(6) == {THEIRS6: "fd99::2"})
    dual.until(lambda: {MINE, MINE6} <= bird.routes().keys())
    route = bird.routes()[MINE6]
    assert (route.protocol, route.next_hop.split()[0]) == ("node4", "fd99::1")


def test_a_peer_that_shares_no_session_leaves_ipv4_alone(dual: Machine) -> None:
    """It speaks no IPv6 at all: nothing is said of it there, and nobody waits for it."""
    spec = {"peerIP": OWN, "asNumber": 64512}
    dual.put("bgppeers/router", "BGPPeer", spec, annotations=SHARED)
    text = with_sessions(dual, 4, routes=(THEIRS,))
    channel = "  ipv6 { import all; export where source = RTS_STATIC; next hop self; };\n"
    assert channel in text
    bird = dual.bird_with(2, text.replace(channel, ""))
    dual.start()
    dual.until(lambda: dual.learned() == {THEIRS: OWN})
    dual.until(lambda: MINE in bird.routes())
    assert MINE6 not in bird.routes()
