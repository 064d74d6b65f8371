"""The same against FRR: sessions, routes both ways, graceful restart until our End-of-RIB."""

from __future__ import annotations

import os
import signal
import time
from ipaddress import ip_address, ip_network

import pytest

from tests.functional.bgp.conftest import SELF, Wire, peering
from tests.support.bgp_node import BgpNode
from tests.support.bird import until
from tests.support.frr import Frr, configuration

pytestmark = pytest.mark.root

PEER2 = ip_address("10.99.0.2")
ROUTES = {"192.168.1.0/26": SELF, "192.168.2.0/26": SELF}


def test_frr_hears_us_and_keeps_our_routes_over_a_crash_until_end_of_rib(
    wire: Wire, node: BgpNode
) -> None:
    text = configuration(
        "10.99.0.2",
        65002,
        "10.99.0.1",
        64512,
        "address-family ipv4 unicast\n  network 172.20.0.0/24\n exit-address-family",
    )
    with Frr(wire.left, wire.directory / "frr", text) as frr:
        agent = node.start_agent()
        agent.want([peering(2, peer_as=65002)])
        agent.say("10.99.0.2", ROUTES)
        until(lambda: agent.speaker.settled(PEER2))
        until(lambda: set(ROUTES) <= set(frr.routes()))
        until(lambda: ip_network("172.20.0.0/24") in agent.received)
        assert frr.routes()["192.168.1.0/26"]["path"] == "64512"
        agent.stop()
        os.kill(node.exabgp_pid() or 0, signal.SIGKILL)
        until(lambda: frr.established("10.99.0.1"))
        time.sleep(1)
        assert set(ROUTES) <= set(frr.routes()), "stale routes stay until End-of-RIB"
        fresh = node.start_agent()
        fresh.want([peering(2, peer_as=65002)])
        fresh.say("10.99.0.2", {"192.168.1.0/26": SELF})
        until(lambda: fresh.speaker.settled(PEER2))
        until(lambda: set(frr.routes()) & set(ROUTES) == {"192.168.1.0/26"})
