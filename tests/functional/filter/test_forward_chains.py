"""Others' forward chains that drop by default, in nft and in both forms of iptables."""

from __future__ import annotations

import time

import pytest

from tests.functional.filter import world as w
from tests.functional.filter.world import World
from tests.support import netns

pytestmark = pytest.mark.root

FIREWALL = """
add table inet firewalld
add chain inet firewalld FORWARD { type filter hook forward priority 10; }
add rule inet firewalld FORWARD ct state established,related accept
add rule inet firewalld FORWARD ip daddr 10.244.0.8 udp dport 7 drop
add rule inet firewalld FORWARD jump REST
"""
REJECTING = "add chain inet firewalld REST; add rule inet firewalld REST counter reject"


def guarded(world: World) -> None:
    world.filter.pool("p4", w.POOL)
    world.filter.pool("p6", w.POOL6)
    world.settle()


def iptables(world: World, form: str, *arguments: str, version: int = 4) -> str:
    command = f"{'ip' if version == 4 else 'ip6'}tables-{form}"
    return netns.run(world.node, command, *arguments)


def docker(world: World, form: str) -> None:
    """What Docker does to FORWARD, in both families."""
    for version in (4, 6):
        iptables(world, form, "-P", "FORWARD", "DROP", version=version)
        iptables(world, form, "-N", "DOCKER-USER", version=version)
        iptables(world, form, "-A", "DOCKER-USER", "-j", "RETURN", version=version)
        iptables(world, form, "-I", "FORWARD", "-j", "DOCKER-USER", version=version)


def reach(world: World) -> tuple[bool, bool]:
    return world.a.reaches(world.b.address), world.a.reaches(world.b.address6)


def settle(world: World) -> None:
    """Long enough for the look at tables that announce nothing."""
    until = time.monotonic() + 2.5
    world.filter.hears()
    while time.monotonic() < until:
        world.filter.once()
        time.sleep(0.1)


@pytest.mark.parametrize("form", ["nft", "legacy"])
def test_pods_pass_a_forward_chain_whose_policy_is_drop(world: World, form: str) -> None:
    docker(world, form)
    assert reach(world) == (False, False), "control: nothing is forwarded"
    guarded(world)
    assert reach(world) == (True, True)
    rules = iptables(world, form, "-S", "FORWARD").splitlines()
    assert rules[-2:] == [
        "-A FORWARD -i cali+ -m comment --comment felix-py -j ACCEPT",
        "-A FORWARD -o cali+ -m comment --comment felix-py -j ACCEPT",
    ], "behind what Docker and the administrator decided"
    assert rules[:2] == ["-P FORWARD DROP", "-A FORWARD -j DOCKER-USER"]
    assert not world.filter.manager.warnings()
    chains = world.filter.manager.report()["forwardChains"]
    assert isinstance(chains, dict)
    assert set(chains.values()) == {"admitted"}


@pytest.mark.parametrize("form", ["nft", "legacy"])
def test_our_rules_come_back_and_go_when_they_are_not_needed(world: World, form: str) -> None:
    docker(world, form)
    guarded(world)
    iptables(world, form, "-F", "FORWARD")
    settle(world)
    assert world.a.reaches(world.b.address)
    once = iptables(world, form, "-S", "FORWARD")
    settle(world)
    assert iptables(world, form, "-S", "FORWARD") == once, "they are not put twice"
    iptables(world, form, "-P", "FORWARD", "ACCEPT")
    settle(world)
    assert iptables(world, form, "-S", "FORWARD") == "-P FORWARD ACCEPT\n"


@pytest.mark.parametrize("form", ["nft", "legacy"])
def test_an_explicit_drop_keeps_its_word(world: World, form: str) -> None:
    docker(world, form)
    iptables(world, form, "-I", "DOCKER-USER", "-d", world.b.address, "-j", "DROP")
    iptables(world, form, "-A", "FORWARD", "-j", "REJECT")
    guarded(world)
    assert not world.a.reaches(world.b.address)
    iptables(world, form, "-D", "DOCKER-USER", "-d", world.b.address, "-j", "DROP")
    assert world.a.reaches(world.b.address), "our rules stand before the last reject"


def test_a_firewall_that_rejects_the_rest_lets_pods_through_and_nothing_else(world: World) -> None:
    world.filter.nft(FIREWALL.replace("jump REST", "counter") + REJECTING)
    world.filter.nft("add rule inet firewalld FORWARD jump REST")
    assert reach(world) == (False, False), "control"
    guarded(world)
    assert reach(world) == (True, True)
    listed = world.filter.nft("list", "chain", "inet", "firewalld", "FORWARD")
    order = [listed.index(each) for each in ("dport 7 drop", 'iifname "cali*"', "jump REST")]
    assert order == sorted(order)


def test_a_table_that_nobody_else_may_write_is_named(world: World) -> None:
    import subprocess  # noqa: PLC0415

    owner = subprocess.Popen(
        netns.command(world.node, "nft", "-i"), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
    )
    assert owner.stdin is not None
    try:
        owner.stdin.write(
            b"add table ip owned { flags owner; }\n"
            b"add chain ip owned f { type filter hook forward priority 0; policy drop; }\n"
        )
        owner.stdin.flush()
        until = time.monotonic() + 10
        while "owned" not in world.filter.nft("list", "tables") and time.monotonic() < until:
            time.sleep(0.05)
        time.sleep(0.3)
        guarded(world)
        settle(world)
        (warning,) = world.filter.manager.warnings()
        assert "ip owned f" in warning
        assert "cali*" in warning
    finally:
        owner.stdin.close()
        owner.wait(10)


def test_a_host_without_legacy_tables_is_not_given_any(world: World) -> None:
    guarded(world)
    settle(world)
    names = netns.run(world.node, "cat", "/proc/self/net/ip_tables_names", check=False)
    assert names == ""
