"""Routes that felix is to write: BGP's stay until felix's stand, and come back when they are BGP's."""

from __future__ import annotations

import signal

import pytest

from tests.functional.bgp_agent.machine import Machine

pytestmark = [pytest.mark.root, pytest.mark.etcd]

THEIRS = "10.244.2.0/26"
POOL = {"cidr": "10.244.0.0/16", "blockSize": 26}


def learned(machine: Machine) -> None:
    """node-2 announces its block, which etcd says is its."""
    machine.put_foreign_block(THEIRS, "node-2")
    machine.bird(2, THEIRS)
    machine.start()
    machine.until(lambda: machine.learned() == {THEIRS: "10.99.0.2"})


def felix_programs(machine: Machine, word: str) -> None:
    machine.put("felixconfigurations/default", "FelixConfiguration", {"programClusterRoutes": word})


def felixs_route(machine: Machine, verb: str) -> None:
    machine.ip("route", verb, THEIRS, "via", "10.99.0.2", "metric", "1024", "proto", "80")


def waiting(machine: Machine) -> object:
    return machine.status["learned"]["waitingForFelix"]


def test_a_route_handed_to_felix_stays_until_felixs_stands_and_comes_back_before_it_goes(
    machine: Machine,
) -> None:
    learned(machine)
    felix_programs(machine, "Enabled")
    machine.until(lambda: waiting(machine) == [THEIRS])
    assert THEIRS in machine.learned()
    felixs_route(machine, "add")
    machine.until(lambda: machine.learned() == {})
    felix_programs(machine, "Disabled")
    machine.until(lambda: machine.learned() == {THEIRS: "10.99.0.2"})


def test_a_pool_that_begins_to_tunnel_leaves_the_direct_route_until_the_tunnels_stands(
    machine: Machine,
) -> None:
    learned(machine)
    machine.put("ippools/blue", "IPPool", {**POOL, "vxlanMode": "Always"})
    machine.until(lambda: machine.status["learned"]["waitingForFelix"] in ([], [THEIRS]))
    assert machine.learned() == {THEIRS: "10.99.0.2"}, "felix serves the subnet, but has no route"
    felixs_route(machine, "add")
    machine.until(lambda: machine.learned() == {})


def test_without_bgp_sessions_end_and_routes_wait_for_felixs(machine: Machine) -> None:
    learned(machine)
    assert machine.stop(signal.SIGTERM) == 0
    machine.backend = "none"
    machine.start()
    machine.until(lambda: machine.status["sessions"] == [])
    machine.until(lambda: waiting(machine) == [THEIRS])
    assert machine.learned() == {THEIRS: "10.99.0.2"}
    felixs_route(machine, "add")
    machine.until(lambda: machine.learned() == {})
