"""The whole BGP agent between a real etcd, a real ExaBGP, real BIRDs and a real kernel."""

from __future__ import annotations

import signal
import time

import pytest

from tests.functional.bgp_agent.machine import NODE, RESOURCES, Machine
from tests.support.bird import configuration, session

pytestmark = [pytest.mark.root, pytest.mark.etcd]

MINE = "10.244.1.0/26"
THEIRS = "10.244.2.0/26"


def states(machine: Machine) -> dict[str, str]:
    return {one["peer"]: one["state"] for one in machine.status["sessions"]}


def bird_text(*routes: str) -> str:
    own = "10.99.0.2"
    peer = session("node", own, "10.99.0.1", asn=64512, neighbor_asn=64512)
    return configuration(own, peer, routes=routes)


def test_blocks_are_announced_and_learned_in_the_mesh(machine: Machine) -> None:
    machine.put_block(MINE)
    machine.put_block("10.244.7.0/26", state="pending")
    bird = machine.bird(2, THEIRS)
    machine.start()
    machine.until(lambda: machine.learned() == {THEIRS: "10.99.0.2"})
    machine.until(lambda: MINE in bird.routes())
    route = bird.routes()[MINE]
    assert route.next_hop == "10.99.0.1"
    assert route.attributes["local_pref"] == "2147482623"
    assert "10.244.7.0/26" not in bird.routes()
    machine.put_block("10.244.7.0/26")
    machine.until(lambda: "10.244.7.0/26" in bird.routes())
    machine.delete(f"/calico/ipam/v2/host/{NODE}/ipv4/block/10.244.1.0-26")
    machine.until(lambda: MINE not in bird.routes())
    machine.until(lambda: states(machine) == {"10.99.0.2": "up", "10.99.0.3": "down"})


def test_the_kernel_is_guarded_and_every_refusal_is_named(machine: Machine) -> None:
    machine.put_block(MINE, holders={5: "node-2", 6: "node-3"})
    machine.bird(
        2,
        THEIRS,
        "0.0.0.0/0",
        "192.0.2.0/24",
        MINE,
        "10.244.1.5/32",
        "10.244.1.6/32",
        "10.244.1.8/29",
    )
    machine.start()
    wanted = {THEIRS: "10.99.0.2", "10.244.1.5": "10.99.0.2"}
    machine.until(lambda: machine.learned() == wanted)
    machine.until(lambda: sum(machine.refused().values()) == 5)
    assert machine.refused()["a default route"] == 1
    assert machine.refused()["outside pools"] == 1
    machine.put_block(MINE, holders={6: "node-2"})
    machine.until(lambda: machine.learned() == {THEIRS: "10.99.0.2", "10.244.1.6": "10.99.0.2"})


def test_a_route_that_somebody_deletes_is_back_within_a_second(machine: Machine) -> None:
    machine.bird(2, THEIRS)
    machine.start()
    machine.until(lambda: machine.learned() == {THEIRS: "10.99.0.2"})
    for _ in range(3):
        machine.ip("route", "del", THEIRS)
        assert machine.until(lambda: machine.learned() == {THEIRS: "10.99.0.2"}) < 1.0


def test_a_foreign_route_at_our_key_is_left_and_named(machine: Machine) -> None:
    machine.ip("route", "add", THEIRS, "via", "10.99.0.3", "metric", "1025", "proto", "static")
    machine.bird(2, THEIRS)
    machine.start()
    machine.until(lambda: machine.status["learned"]["notWritten"])
    assert machine.status["learned"]["notWritten"][0]["prefix"] == THEIRS
    assert "10.99.0.3" in machine.ip("route", "show", THEIRS)
    machine.ip("route", "del", THEIRS)
    machine.until(lambda: machine.learned() == {THEIRS: "10.99.0.2"})


def test_a_killed_agent_leaves_the_routes_and_the_next_one_takes_them_over(
    machine: Machine,
) -> None:
    machine.put_block(MINE)
    machine.settings = {"keepRoutesSeconds": 5}
    gone = "10.244.3.0/26"
    bird = machine.bird(2, THEIRS, gone)
    machine.start()
    machine.until(lambda: set(machine.learned()) == {THEIRS, gone})
    machine.until(lambda: MINE in bird.routes())
    since = bird.since("node")
    machine.stop(signal.SIGKILL)
    bird.reconfigure(bird_text(THEIRS, "10.244.4.0/26"))
    assert set(machine.learned()) == {THEIRS, gone}
    machine.put_block("10.244.8.0/26")
    machine.start()
    machine.until(lambda: set(machine.learned()) == {THEIRS, "10.244.4.0/26"}, 60)
    machine.until(lambda: "10.244.8.0/26" in bird.routes())
    assert bird.since("node") == since
    assert machine.stop() == 0
    assert set(machine.learned()) == {THEIRS, "10.244.4.0/26"}


def test_a_next_hop_behind_the_underlay_follows_its_routes(machine: Machine) -> None:
    far = (
        "protocol bgp node {\n  local 10.99.0.2 as 64512;\n  neighbor 10.99.0.1 as 64512;\n"
        "  connect retry time 1; error wait time 1, 4; hold time 9;\n"
        "  ipv4 { import all; export filter { bgp_next_hop = 10.50.0.9; accept; }; };\n}\n"
    )
    machine.bird_with(2, configuration("10.99.0.2", far, routes=[THEIRS]))
    machine.start()
    machine.until(lambda: machine.status["learned"]["unresolvedNextHops"])
    assert machine.status["learned"]["unresolvedNextHops"][0]["nextHop"] == "10.50.0.9"
    assert machine.learned() == {}
    machine.ip("route", "add", "10.50.0.0/24", "via", "10.99.0.2")
    assert machine.until(lambda: machine.learned() == {THEIRS: "10.99.0.2"}) < 1.5
    machine.ip("route", "replace", "10.50.0.0/24", "via", "10.99.0.3")
    assert machine.until(lambda: machine.learned() == {THEIRS: "10.99.0.3"}) < 1.5
    machine.ip(
        "route",
        "replace",
        "10.50.0.0/24",
        "nexthop",
        "via",
        "10.99.0.2",
        "nexthop",
        "via",
        "10.99.0.3",
    )
    machine.until(lambda: machine.learned() == {THEIRS: "10.99.0.2+10.99.0.3"})
    machine.ip("route", "del", "10.50.0.0/24")
    machine.until(lambda: machine.learned() == {})


def test_a_peer_without_graceful_restart_takes_its_routes_along(machine: Machine) -> None:
    bird = machine.bird(2, THEIRS)
    machine.start()
    machine.until(lambda: machine.learned() == {THEIRS: "10.99.0.2"})
    bird.kill()
    machine.until(lambda: machine.learned() == {})


def test_a_peer_with_graceful_restart_keeps_its_routes_while_it_restarts(machine: Machine) -> None:
    options = ("graceful restart on", "graceful restart time 60")
    bird = machine.bird(2, THEIRS, options=options)
    machine.start()
    machine.until(lambda: machine.learned() == {THEIRS: "10.99.0.2"})
    machine.until(lambda: states(machine)["10.99.0.2"] == "up")
    bird.kill()
    machine.until(lambda: states(machine)["10.99.0.2"] == "down")
    assert machine.learned() == {THEIRS: "10.99.0.2"}
    assert machine.status["sessions"][0]["stale"] == 1
    bird.start(recovering=True)

    def kept_until_told_again() -> bool:
        assert machine.learned() == {THEIRS: "10.99.0.2"}
        return bool(machine.status["sessions"][0]["stale"] == 0)

    machine.until(kept_until_told_again, 30)
    assert machine.learned() == {THEIRS: "10.99.0.2"}


def test_two_nodes_with_one_prefix_share_the_traffic(machine: Machine) -> None:
    machine.bird(2, "10.244.9.0/26")
    machine.bird(3, "10.244.9.0/26")
    machine.start()
    machine.until(lambda: machine.learned() == {"10.244.9.0/26": "10.99.0.2+10.99.0.3"})


def test_a_peer_without_its_password_is_refused_and_a_node_that_leaves_is_forgotten(
    machine: Machine,
) -> None:
    machine.put("bgpconfigurations/default", "BGPConfiguration", {"nodeToNodeMeshEnabled": False})
    peer = {
        "peerIP": "10.99.0.2",
        "asNumber": 64512,
        "password": {"secretKeyRef": {"name": "bgp", "key": "tor"}},
    }
    machine.put("bgppeers/tor", "BGPPeer", peer)
    machine.bird(2, THEIRS, options=('password "s3cret"',))
    machine.start()
    machine.until(lambda: machine.status["refusedPeerings"])
    assert machine.status["refusedPeerings"][0]["source"] == "BGPPeer tor"
    assert machine.status["sessions"] == []
    secrets = machine.directory / "secrets" / "bgp"
    secrets.mkdir(parents=True)
    (secrets / "tor").write_text("s3cret\n")
    machine.until(lambda: machine.learned() == {THEIRS: "10.99.0.2"}, 30)
    assert "s3cret" not in machine.log()
    machine.delete(RESOURCES + "bgppeers/tor")
    machine.until(lambda: machine.learned() == {})


def test_with_etcd_gone_peers_are_still_listened_to(machine: Machine) -> None:
    bird = machine.bird(2, THEIRS)
    machine.put_block(MINE)
    machine.start()
    machine.until(lambda: machine.learned() == {THEIRS: "10.99.0.2"})
    machine.until(lambda: MINE in bird.routes())
    machine.etcd.stop()
    bird.reconfigure(bird_text(THEIRS, "10.244.4.0/26"))
    machine.until(lambda: set(machine.learned()) == {THEIRS, "10.244.4.0/26"})
    assert MINE in bird.routes()


def test_an_agent_that_starts_while_etcd_is_away_hears_its_peers_afterwards(
    machine: Machine,
) -> None:
    machine.settings = {"keepRoutesSeconds": 3}
    bird = machine.bird(2, THEIRS)
    machine.start()
    machine.until(lambda: machine.learned() == {THEIRS: "10.99.0.2"})
    machine.until(lambda: states(machine)["10.99.0.2"] == "up")
    machine.stop(signal.SIGKILL)
    machine.etcd.pause()
    machine.start(in_sync=False)
    time.sleep(1)
    bird.reconfigure(bird_text("10.244.4.0/26"))
    time.sleep(0.5)
    assert set(machine.learned()) == {THEIRS}, "nothing is decided before the store was heard"
    machine.etcd.resume()
    machine.until(lambda: states(machine).get("10.99.0.2") == "up")
    machine.until(lambda: set(machine.learned()) == {"10.244.4.0/26"})
