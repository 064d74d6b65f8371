"""Real ExaBGP under the real launcher and relay, against BIRD: sessions, routes, reloads."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from tests.functional.bgp.conftest import SELF, SELF6, Wire, peering
from tests.support import netns
from tests.support.bgp_node import EXABGP_UID, BgpNode
from tests.support.bird import until

pytestmark = pytest.mark.root

PEER2, PEER3 = ip_address("10.99.0.2"), ip_address("10.99.0.3")
ROUTES = {"192.168.1.0/26": SELF, "192.168.2.0/26": SELF, "fd12::/64": SELF6}


def test_routes_travel_both_ways_and_can_be_taken_back(wire: Wire, node: BgpNode) -> None:
    with wire.bird("left", routes=("172.20.0.0/24", "fd20::/64")) as bird:
        agent = node.start_agent()
        agent.want([peering(2)])
        agent.say("10.99.0.2", ROUTES)
        until(lambda: agent.speaker.settled(PEER2))
        until(lambda: set(ROUTES) <= set(bird.routes("protocol", "node")))
        until(lambda: ip_network("172.20.0.0/24") in agent.received)
        until(lambda: ip_network("fd20::/64") in agent.received)
        assert agent.received[ip_network("172.20.0.0/24")] == "10.99.0.2"
        assert bird.routes("protocol", "node")["192.168.1.0/26"].next_hop == "10.99.0.1"
        agent.say("10.99.0.2", {"192.168.2.0/26": SELF})
        until(lambda: set(bird.routes("protocol", "node")) == {"192.168.2.0/26"})
        until(lambda: agent.speaker.settled(PEER2))


def test_exabgp_runs_unprivileged_with_one_capability(wire: Wire, node: BgpNode) -> None:
    agent = node.start_agent()
    agent.want([peering(2)])
    until(lambda: agent.process.confirmed)
    for pid in (node.exabgp_pid(), node.relay_pid()):
        status = dict(
            line.split(":\t", 1)
            for line in Path(f"/proc/{pid}/status").read_text().splitlines()
            if ":\t" in line
        )
        assert set(status["Uid"].split()) == {str(EXABGP_UID)}
        assert status["Groups"].strip() == ""
        assert {int(status[name], 16) for name in ("CapPrm", "CapEff", "CapAmb")} == {1 << 10}
        assert status["NoNewPrivs"] == "1"
    modes = {path.name: path.stat().st_mode & 0o777 for path in node.directory.iterdir()}
    assert modes["relay.sock"] == modes["launcher.sock"] == 0o600
    assert modes["exabgp.conf"] == 0o640
    assert int(Path(f"/proc/{node.relay_pid()}/statm").read_text().split()[1]) * 4 < 20_000


def test_a_reload_adds_and_removes_a_peer_without_touching_the_other(
    wire: Wire, node: BgpNode
) -> None:
    with wire.bird("left") as left, wire.bird("right") as right:
        agent = node.start_agent()
        agent.want([peering(2)])
        agent.say("10.99.0.2", ROUTES)
        until(lambda: agent.speaker.settled(PEER2))
        before = left.since("node")
        agent.want([peering(2), peering(3)])
        agent.say("10.99.0.3", ROUTES)
        until(lambda: agent.speaker.settled(PEER3))
        until(lambda: set(right.routes("protocol", "node")) == set(ROUTES))
        agent.want([peering(2)])
        until(lambda: not right.routes("protocol", "node"), 2)
        until(lambda: not right.established("node"))
        until(lambda: agent.process.confirmed)
        assert left.since("node") == before
        assert set(left.routes("protocol", "node")) == set(ROUTES)


def test_a_changed_key_says_everything_again_to_the_new_session(wire: Wire, node: BgpNode) -> None:
    with wire.bird("left") as bird:
        agent = node.start_agent()
        agent.want([peering(2)])
        agent.say("10.99.0.2", ROUTES)
        until(lambda: agent.speaker.settled(PEER2))
        agent.want([peering(2, router_id=ip_address("10.99.0.77"))])
        until(lambda: "10.99.0.77" in bird.ask("show", "protocols", "all", "node"))
        until(lambda: set(bird.routes("protocol", "node")) == set(ROUTES))


def test_a_configuration_that_exabgp_refuses_never_reaches_it(wire: Wire, node: BgpNode) -> None:
    with wire.bird("left") as bird:
        agent = node.start_agent()
        agent.want([peering(2)])
        until(lambda: bird.established("node"))
        pid, before = node.exabgp_pid(), (node.directory / "exabgp.conf").read_bytes()
        agent.want([peering(2), peering(3, local=ip_address("10.99.0.1"), peer_as=2**40)])
        until(lambda: "refuses" in agent.process.problem)
        assert (node.directory / "exabgp.conf").read_bytes() == before
        assert node.exabgp_pid() == pid
        assert bird.established("node")
        agent.want([peering(2)])
        until(lambda: agent.process.confirmed)
        assert not [path for path in node.directory.iterdir() if path.name.startswith(".exabgp")]


def test_a_reload_works_while_another_peer_is_black_holed(wire: Wire, node: BgpNode) -> None:
    with wire.bird("left") as left:
        agent = node.start_agent()
        agent.want([peering(2), peering(4)])
        agent.say("10.99.0.4", ROUTES)
        agent.say("10.99.0.2", ROUTES)
        until(lambda: agent.speaker.settled(PEER2))
        with wire.bird("right") as right:
            agent.want([peering(2), peering(3), peering(4)])
            until(lambda: right.established("node"))
            until(lambda: agent.process.confirmed)
        assert left.established("node")


def test_md5_keeps_out_who_does_not_know_the_password(wire: Wire, node: BgpNode) -> None:
    with (
        wire.bird("left", options=('password "se#cret x"',)) as left,
        wire.bird("right", options=('password "other"',)) as right,
    ):
        agent = node.start_agent()
        agent.want([peering(2, password="se#cret x"), peering(3, password="se#cret x")])
        until(lambda: left.established("node"))
        assert not right.established("node")


def test_ttl_security_works_with_bird(wire: Wire, node: BgpNode) -> None:
    options = ("multihop 1", "ttl security on")
    with wire.bird("left", asn=65002, options=options) as bird:
        agent = node.start_agent()
        agent.want([peering(2, peer_as=65002, ttl_security=1)])
        until(lambda: bird.established("node"))


def test_a_session_over_ipv6_carries_ipv6_routes(wire: Wire, node: BgpNode) -> None:
    with wire.bird("left", prefix="fd99::", routes=("fd20::/64",)) as bird:
        agent = node.start_agent()
        over6 = peering(2, peer=ip_address("fd99::2"), local=ip_address("fd99::1"), password="")
        agent.want([over6])
        agent.say("fd99::2", {"fd12::/64": SELF6})
        until(lambda: agent.speaker.settled(ip_address("fd99::2")))
        until(lambda: bird.routes("protocol", "node")["fd12::/64"].next_hop == "fd99::1")
        until(lambda: agent.received.get(ip_network("fd20::/64")) == "fd99::2")


def test_a_peer_that_can_only_connect_to_us_gets_its_session(wire: Wire, node: BgpNode) -> None:
    with wire.bird("left", options=('password "both ways"',)) as bird:
        netns.run(wire.left, "nft", "add table inet t")
        netns.run(wire.left, "nft", "add chain inet t in { type filter hook input priority 0; }")
        netns.run(wire.left, "nft", "add rule inet t in tcp dport 179 drop")
        bird.ask("restart", "node")
        agent = node.start_agent()
        agent.want([peering(2, password="both ways")])
        until(lambda: bird.established("node"))
