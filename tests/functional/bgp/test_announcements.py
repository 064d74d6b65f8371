"""What arrives at BIRD is what was wanted: attributes, bursts, flapping prefixes, many routes."""

from __future__ import annotations

import time
from ipaddress import ip_address

import pytest

from bgp.model import Attributes
from tests.functional.bgp.conftest import SELF, Wire, peering
from tests.support.bgp_node import BgpNode
from tests.support.bird import until, untouched

pytestmark = pytest.mark.root

PEER2 = ip_address("10.99.0.2")
RICH = {
    "192.168.1.0/26": SELF,
    "192.168.2.0/26": Attributes("10.99.0.1", med=5),
    "192.168.3.0/26": Attributes("10.99.0.1", local_preference=200),
    "192.168.4.0/26": Attributes("10.99.0.1", as_path=(65008, 65009)),
    "192.168.5.0/26": Attributes("10.99.0.1", communities=("64512:7", "no-export", "64512:1:2")),
    "192.168.6.0/26": Attributes("10.99.0.9", (65008, 65009), 50, 7, ("64512:1",)),
    "fd12::/64": Attributes("fd99::1", med=5, communities=("64512:7",)),
}


@pytest.mark.parametrize("asn", [64512, 65002])
def test_what_exabgp_holds_is_read_back_as_it_was_said(wire: Wire, node: BgpNode, asn: int) -> None:
    with wire.bird("left", asn=asn) as bird:
        agent = node.start_agent()
        agent.want([peering(2, peer_as=asn)])
        agent.say("10.99.0.2", RICH)
        until(lambda: agent.speaker.settled(PEER2))
        until(lambda: set(bird.routes("protocol", "node")) == set(RICH))
        before = bird.routes("protocol", "node")
        own = ["64512"] if asn != 64512 else []
        assert before["192.168.1.0/26"].attributes["as_path"].split() == own
        assert before["192.168.4.0/26"].attributes["as_path"].split() == ["65008", "65009"]
        assert before["192.168.2.0/26"].attributes["med"] == "5"
        assert "(64512,7)" in before["192.168.5.0/26"].attributes["community"]
        assert before["192.168.5.0/26"].attributes["large_community"] == "(64512, 1, 2)"
        agent.stop()
        fresh = node.start_agent()
        fresh.want([peering(2, peer_as=asn)])
        fresh.say("10.99.0.2", RICH)
        until(lambda: fresh.speaker.settled(PEER2))
        time.sleep(0.3)
        after = bird.routes("protocol", "node")
        assert untouched(before, after), "nothing may be announced again"


def test_a_prefix_that_flaps_ends_as_wanted(wire: Wire, node: BgpNode) -> None:
    low, high = Attributes("10.99.0.1", med=1), Attributes("10.99.0.1", med=2)
    with wire.bird("left") as bird:
        agent = node.start_agent()
        agent.want([peering(2)])
        agent.say("10.99.0.2", {"192.168.1.0/26": low})
        until(lambda: agent.speaker.settled(PEER2))
        for number in range(60):
            wish = ({"192.168.1.0/26": high}, {}, {"192.168.1.0/26": low})[number % 3]
            agent.say("10.99.0.2", wish)
        until(lambda: agent.speaker.settled(PEER2))
        until(lambda: "192.168.1.0/26" in bird.routes("protocol", "node"))
        time.sleep(0.5)
        assert bird.routes("protocol", "node")["192.168.1.0/26"].attributes["med"] == "1"


def test_thousands_of_routes_go_out_and_come_in(wire: Wire, node: BgpNode) -> None:
    prefixes = [f"10.{high}.{low}.0/24" for high in range(16) for low in range(250)]
    received = tuple(prefix.replace("10.", "100.", 1) for prefix in prefixes)
    with wire.bird("left", routes=received) as bird:
        agent = node.start_agent()
        agent.want([peering(2)])
        until(lambda: PEER2 in agent.up)
        agent.say("10.99.0.2", dict.fromkeys(prefixes, SELF))
        until(lambda: len(agent.received) == len(received))
        until(lambda: "4000 imported" in bird.ask("show", "protocols", "all", "node"), 30)
        agent.say("10.99.0.2", {})
        until(lambda: "0 imported" in bird.ask("show", "protocols", "all", "node"), 30)


def test_both_peers_hear_the_same_and_one_that_comes_late_hears_it_too(
    wire: Wire, node: BgpNode
) -> None:
    agent = node.start_agent()
    agent.want([peering(2), peering(3)])
    for peer in ("10.99.0.2", "10.99.0.3"):
        agent.say(peer, RICH)
    with wire.bird("left") as left:
        until(lambda: set(left.routes("protocol", "node")) == set(RICH))
        with wire.bird("right") as right:
            until(lambda: set(right.routes("protocol", "node")) == set(RICH))
        agent.say("10.99.0.3", {"192.168.1.0/26": SELF})
        with wire.bird("right") as right:
            until(lambda: set(right.routes("protocol", "node")) == {"192.168.1.0/26"})
            time.sleep(0.3)
            assert set(right.routes("protocol", "node")) == {"192.168.1.0/26"}
