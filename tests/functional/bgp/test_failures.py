"""What dies and comes back: agent, relay, ExaBGP, launcher, each beside sessions that must not notice."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from bgp.launcher_child import start_time
from tests.functional.bgp.conftest import SELF, SELF6, Wire, peering
from tests.support import netns
from tests.support.bgp_node import BgpNode
from tests.support.bird import Bird, until, untouched

pytestmark = pytest.mark.root

PEER2 = ip_address("10.99.0.2")
ROUTES = {"192.168.1.0/26": SELF, "192.168.2.0/26": SELF, "fd12::/64": SELF6}
LONG_GR = ("graceful restart on", "graceful restart time 60")


def routes(bird: Bird) -> set[str]:
    """What BIRD has from the node, stale or not."""
    return set(bird.routes("protocol", "node"))


def test_an_agent_restart_keeps_the_session_and_takes_back_what_is_not_wanted_any_more(
    wire: Wire, node: BgpNode
) -> None:
    with wire.bird("left", routes=("172.20.0.0/24",)) as bird:
        agent = node.start_agent()
        agent.want([peering(2)])
        agent.say("10.99.0.2", ROUTES)
        until(lambda: agent.speaker.settled(PEER2))
        until(lambda: routes(bird) == set(ROUTES))
        before, pid = bird.since("node"), node.exabgp_pid()
        changed = bird.routes("protocol", "node")
        agent.stop()
        fresh = node.start_agent()
        fresh.want([peering(2)])
        time.sleep(0.5)
        assert routes(bird) == set(ROUTES), "nothing may move before the agent knows what it wants"
        fresh.say("10.99.0.2", {"192.168.1.0/26": SELF, "192.168.3.0/26": SELF})
        until(lambda: fresh.speaker.settled(PEER2))
        until(lambda: routes(bird) == {"192.168.1.0/26", "192.168.3.0/26"})
        until(lambda: ip_network("172.20.0.0/24") in fresh.received)
        assert (bird.since("node"), node.exabgp_pid()) == (before, pid)
        kept = bird.routes("protocol", "node")
        same = "192.168.1.0/26"
        assert untouched({same: changed[same]}, {same: kept[same]})


def test_a_killed_relay_comes_back_beside_an_unbroken_session(wire: Wire, node: BgpNode) -> None:
    with wire.bird("left", routes=("172.20.0.0/24",)) as bird:
        agent = node.start_agent()
        agent.want([peering(2)])
        agent.say("10.99.0.2", ROUTES)
        until(lambda: agent.speaker.settled(PEER2))
        before, relay = bird.since("node"), node.relay_pid()
        os.kill(relay, signal.SIGKILL)
        until(lambda: node.relay_pid() not in {0, relay})
        agent.say("10.99.0.2", {"192.168.9.0/26": SELF})
        until(lambda: routes(bird) == {"192.168.9.0/26"})
        assert bird.since("node") == before


def test_a_relay_killed_under_load_ends_in_a_working_session(wire: Wire, node: BgpNode) -> None:
    many = tuple(f"172.{16 + high}.{low}.0/24" for high in range(8) for low in range(250))
    with wire.bird("left", options=LONG_GR, routes=many) as bird:
        agent = node.start_agent()
        agent.want([peering(2)])
        agent.say("10.99.0.2", ROUTES)
        until(lambda: len(agent.received) > 1000)
        os.kill(node.relay_pid(), signal.SIGSTOP)
        bird.ask("disable", "four")
        bird.ask("enable", "four")
        time.sleep(0.3)
        os.kill(node.relay_pid(), signal.SIGKILL)
        until(lambda: agent.speaker.settled(PEER2))
        until(lambda: routes(bird) == set(ROUTES))
        until(lambda: len(agent.received) == len(many))


def test_graceful_restart_keeps_routes_until_our_end_of_rib(wire: Wire, node: BgpNode) -> None:
    with wire.bird("left", options=LONG_GR) as bird:
        agent = node.start_agent()
        agent.want([peering(2)])
        agent.say("10.99.0.2", ROUTES)
        until(lambda: agent.speaker.settled(PEER2))
        until(lambda: routes(bird) == set(ROUTES))
        agent.stop()
        pid = node.exabgp_pid()
        os.kill(pid or 0, signal.SIGKILL)
        until(lambda: node.exabgp_pid() not in {None, pid})
        assert '"restart_in_seconds": 0.0' in node.log()
        until(lambda: "Established" in bird.ask("show", "protocols", "node"))
        time.sleep(1.0)
        assert routes(bird) == set(ROUTES), "stale routes must stay until End-of-RIB"
        fresh = node.start_agent()
        fresh.want([peering(2)])
        time.sleep(0.5)
        assert routes(bird) == set(ROUTES), "no End-of-RIB before the agent said what it wants"
        fresh.say("10.99.0.2", {"192.168.1.0/26": SELF})
        until(lambda: fresh.speaker.settled(PEER2))
        until(lambda: routes(bird) == {"192.168.1.0/26"})


@pytest.mark.parametrize("fault", ["no graceful restart", "automatic end of rib"])
def test_without_our_care_the_routes_would_vanish(wire: Wire, node: BgpNode, fault: str) -> None:
    with wire.bird("left", options=LONG_GR) as bird:
        agent = node.start_agent()
        agent.want([peering(2, restart_seconds=0 if fault == "no graceful restart" else 120)])
        agent.say("10.99.0.2", ROUTES)
        until(lambda: agent.speaker.settled(PEER2))
        until(lambda: routes(bird) == set(ROUTES))
        agent.stop()
        if fault == "automatic end of rib":
            conf = node.directory / "exabgp.conf"
            conf.write_text(conf.read_text().replace("manual-eor true", "manual-eor false"))
        os.kill(node.exabgp_pid() or 0, signal.SIGKILL)
        until(lambda: not routes(bird))


def test_a_frozen_exabgp_is_killed_and_replaced(wire: Wire, node: BgpNode) -> None:
    with wire.bird("left", options=LONG_GR) as bird:
        agent = node.start_agent()
        agent.want([peering(2)])
        agent.say("10.99.0.2", ROUTES)
        until(lambda: agent.speaker.settled(PEER2))
        pid = node.exabgp_pid()
        os.kill(pid or 0, signal.SIGSTOP)
        until(lambda: node.exabgp_pid() not in {None, pid})
        assert agent.watch.kills == 1
        until(lambda: agent.speaker.settled(PEER2))
        assert routes(bird) == set(ROUTES)


def test_a_killed_launcher_takes_exabgp_along_and_the_next_one_starts_another(
    wire: Wire, node: BgpNode
) -> None:
    with wire.bird("left", options=LONG_GR) as bird:
        agent = node.start_agent()
        agent.want([peering(2)])
        agent.say("10.99.0.2", ROUTES)
        until(lambda: agent.speaker.settled(PEER2))
        pid = node.exabgp_pid()
        assert pid is not None
        node.kill_launcher()
        until(lambda: start_time(pid) is None, 2)
        assert routes(bird) == set(ROUTES)
        node.start_launcher()
        until(lambda: agent.speaker.settled(PEER2))
        assert routes(bird) == set(ROUTES)


def test_an_orphan_that_holds_the_port_is_ended_by_the_next_launcher(
    wire: Wire, node: BgpNode
) -> None:
    agent = node.start_agent()
    agent.want([peering(2)])
    until(lambda: agent.process.confirmed)
    node.kill_launcher()
    orphan = netns.command(
        wire.node,
        "setpriv",
        "--reuid",
        "64179",
        "--regid",
        "64179",
        "--clear-groups",
        "sleep",
        "60",
    )
    with subprocess.Popen(orphan) as process:
        until(lambda: Path(f"/proc/{process.pid}/comm").read_text() == "sleep\n")
        pid_file = node.directory / "exabgp.pid"
        pid_file.write_text(f"{process.pid} {start_time(process.pid)}\n")
        node.start_launcher()
        assert process.wait(5) == -signal.SIGKILL
    until(lambda: node.exabgp_pid() is not None)


def test_another_listen_address_restarts_exabgp(wire: Wire, node: BgpNode) -> None:
    with wire.bird("left", options=("passive on",)) as bird:
        netns.address(wire.node, "br0", "10.99.0.11/24")
        agent = node.start_agent()
        agent.want([peering(2)])
        until(lambda: bird.established("node"))
        pid = node.exabgp_pid()
        agent.want([peering(2), peering(5, local=ip_address("10.99.0.11"))])
        until(lambda: node.exabgp_pid() not in {None, pid})
        until(lambda: agent.process.confirmed)
        listening = netns.run(wire.node, "ss", "-Htln")
        assert {"10.99.0.1:179", "10.99.0.11:179"} <= set(listening.split())


def test_the_launcher_kills_only_its_own_child(node: BgpNode) -> None:
    assert not node.client.kill(os.getpid())
    agent = node.start_agent()
    agent.want([peering(2)])
    until(lambda: agent.process.confirmed)
    assert not node.client.kill(node.relay_pid())
    assert node.client.kill(node.exabgp_pid() or 0)
