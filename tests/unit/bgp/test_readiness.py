"""When BGP counts as ready: complete at first, and later as long as anybody is spoken to."""

from __future__ import annotations

from ipaddress import ip_address

from bgp.model import PeerDown, PeerUp
from bgp.readiness import FIRST_SECONDS, Readiness
from bgp.rib_in import RibIn
from bgp.status import SessionReport
from tests.support.bgp_cluster import peering

PEERS = ("10.0.0.2", "10.0.0.3")


class Node:
    """Two sessions, and what is asked of them."""

    def __init__(self) -> None:
        self.rib, self.readiness = RibIn(), Readiness()
        self.peerings = [peering(peer, source=f"mesh {peer}") for peer in PEERS]
        self.rib.expect(self.peerings, 0)
        self.unsettled: set[str] = set()

    def up(self, *peers: str) -> None:
        for peer in peers:
            self.rib.handle(PeerUp(ip_address(peer)), 1)

    def down(self, *peers: str) -> None:
        for peer in peers:
            self.rib.handle(PeerDown(ip_address(peer), "hold timer expired"), 2)

    def ask(self, now: float, *, attached: bool = True, problem: str = "") -> str | None:
        reports = [
            SessionReport(
                one,
                self.rib.peers().get(one.peer),
                settled=str(one.peer) not in self.unsettled,
                over_limit=False,
            )
            for one in self.peerings
        ]
        return self.readiness.why_not(now, reports, attached=attached, problem=problem)


def test_a_fresh_agent_is_ready_when_every_peer_has_heard_everything() -> None:
    node = Node()
    assert "2 of 2 sessions are not up yet: 10.0.0.2 (mesh 10.0.0.2)" in (node.ask(0) or "")
    node.up(*PEERS)
    node.unsettled = {PEERS[1]}
    assert "10.0.0.3 has not heard everything" in (node.ask(1) or "")
    node.unsettled = set()
    assert node.ask(2) is None


def test_a_peer_that_never_comes_holds_a_fresh_agent_up_for_a_while_only() -> None:
    node = Node()
    node.up(PEERS[0])
    assert node.ask(0) is not None
    assert node.ask(FIRST_SECONDS) is None


def test_one_peer_that_dies_later_does_not_matter_and_all_of_them_do() -> None:
    node = Node()
    node.up(*PEERS)
    assert node.ask(0) is None
    node.down(PEERS[0])
    assert node.ask(1) is None
    node.down(PEERS[1])
    assert node.ask(2) == ("none of 2 sessions is up: 10.0.0.2 (mesh 10.0.0.2) hold timer expired")


def test_exabgp_that_is_away_and_what_it_refuses_are_named() -> None:
    node = Node()
    assert "launcher" in (node.ask(0, attached=False) or "")
    assert node.ask(1, problem="ExaBGP refuses it") == "ExaBGP refuses it"
    node.peerings = []
    assert node.ask(2) is None


def test_a_node_without_peers_is_ready_without_an_exabgp_and_waits_for_the_first_peer() -> None:
    node = Node()
    later, node.peerings = node.peerings, []
    assert node.ask(0, attached=False) is None
    assert node.ask(FIRST_SECONDS, attached=False, problem="") is None
    node.peerings = later
    assert "ExaBGP is not there" in (node.ask(FIRST_SECONDS + 1, attached=False) or "")
