"""A pod whose address lies in another node's block: reached from everywhere, and by nothing else.

The owner of the block has a blackhole for it and learns of it only the one address that etcd gives to
the announcing node. The pod is attached by the installed plugin with `IP=` in CNI_ARGS.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Address, IPv4Network, ip_network
from typing import Any

import pytest

from tests.e2e.conftest import Labs
from tests.e2e.truth import read_etcd
from tests.support.lab import Lab, eventually, in_netns

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.timeout(240)]

OWNER = "node-a1"
TOR, TOR_ADDRESS = "tor-a", "10.10.1.1"
BGP_PROTOCOL = "81"
BIRD_CONF = "/etc/bird/bird.conf"
OUR_BLOCK = "our own block"
"""How the agent's reason for a refused path begins."""


@dataclass(frozen=True)
class Borrowed:
    """A pod by its namespace, and the address that it borrowed from a block of OWNER."""

    node: str
    netns: str
    address: IPv4Address
    block: IPv4Network

    @property
    def pod(self) -> dict[str, str]:
        """As `felix-lab status` names pods."""
        return {"name": "borrowed", "netns": self.netns, "address": str(self.address)}


@pytest.fixture(scope="module", params=["default", "rack-as", "reflector"])
def lab(request: pytest.FixtureRequest, labs: Labs) -> Lab:
    return labs.get(request.param)


def block_of_owner(lab: Lab) -> tuple[IPv4Network, dict[str, Any]]:
    """The owner's block by etcdctl: its network and its JSON."""
    blocks = read_etcd([*lab.inside("etcd"), "etcdctl"]).blocks
    mine = [block for block in blocks.values() if block["affinity"] == f"host:{OWNER}"]
    network = ip_network(mine[0]["cidr"])
    assert isinstance(network, IPv4Network)
    return network, mine[0]


def cni(lab: Lab, command: str, node: str, netns: str, container_id: str, args: str) -> Any:
    """One command to the plugin that is installed on the node; its answer."""
    listed = json.loads(lab.exec(node, "cat", "/etc/cni/net.d/10-felix-py.conflist"))
    configuration = {
        **listed["plugins"][0],
        "cniVersion": listed["cniVersion"],
        "name": listed["name"],
    }
    environment = {
        "CNI_COMMAND": command,
        "CNI_CONTAINERID": container_id,
        "CNI_NETNS": f"/run/netns/{netns}",
        "CNI_IFNAME": "eth0",
        "CNI_ARGS": args,
        "CNI_PATH": "/opt/cni/bin",
    }
    done = subprocess.run(
        [*lab.inside(node), "/opt/cni/bin/felix-py"],
        input=json.dumps(configuration),
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout) if done.stdout else None


@contextmanager
def borrowing(lab: Lab, node: str) -> Iterator[Borrowed]:
    """A pod on this node with a free address out of the owner's block, until the end."""
    block, stored = block_of_owner(lab)
    ordinal = next(n for n in range(20, 32) if stored["allocations"][n] is None)
    address, container_id = block[ordinal], secrets.token_hex(32)
    netns = f"{lab.name}-borrow{secrets.token_hex(2)}"
    args = f"IgnoreUnknown=1;K8S_POD_NAMESPACE=lab;K8S_POD_NAME={netns};IP={address}"
    subprocess.run(["ip", "netns", "add", netns], check=True)
    try:
        in_netns(netns, "ip", "link", "set", "lo", "up")
        try:
            answer = cni(lab, "ADD", node, netns, container_id, args)
            assert [each["address"] for each in answer["ips"]] == [f"{address}/32"]
            yield Borrowed(node, netns, address, block)
        finally:
            cni(lab, "DEL", node, netns, container_id, args)
    finally:
        subprocess.run(["ip", "netns", "delete", netns], check=True)


def routes(netns: str, *what: str) -> dict[str, str]:
    """A kernel's IPv4 routes: prefix and gateway (or what else it says)."""
    found = json.loads(in_netns(netns, "ip", "-j", "-4", "route", "show", *what).stdout)
    return {route["dst"]: route.get("gateway", route.get("type", "")) for route in found}


def learned_inside(lab: Lab, node: str, block: IPv4Network) -> dict[str, str]:
    """What a node learned by BGP at or inside a block, and by which gateway."""
    netns = f"{lab.name}-{node}"
    return {
        prefix: gateway
        for prefix, gateway in routes(netns, "proto", BGP_PROTOCOL).items()
        if prefix != "default" and IPv4Network(prefix).subnet_of(block)
    }


def holders(lab: Lab, address: IPv4Address) -> set[str]:
    """The machines whose kernel has a route to exactly this address."""
    told = lab.status()
    return {
        machine["name"]
        for machine in told["nodes"] + told["tors"]
        if str(address) in routes(machine["netns"])
    }


def pings(source: str, target: str, *options: str) -> bool:
    """One ping that comes back."""
    command = ["ping", "-n", "-c", "1", "-W", "1", *options, target]
    return in_netns(source, *command, check=False).returncode == 0


def gateway_of(lab: Lab, node: str) -> str:
    """By which gateway the owner should reach a node: directly in its rack, unless only the ToR told."""
    status = lab.status()
    told = {each["name"]: each for each in status["nodes"]}
    mesh = lab.etcd("/calico/resources/v3/projectcalico.org/bgpconfigurations/default")
    direct = any(value["spec"].get("nodeToNodeMeshEnabled", True) for value in mesh.values())
    if (direct or status["reflector"]) and told[node]["rack"] == told[OWNER]["rack"]:
        return str(told[node]["addresses"][0].partition("/")[0])
    return TOR_ADDRESS


def settles_on(lab: Lab, pod: Borrowed) -> bool:
    """Whether the owner comes to hold exactly the borrowed address inside its block."""
    wanted = {str(pod.address): gateway_of(lab, pod.node)}
    return eventually(lambda: learned_inside(lab, OWNER, pod.block) == wanted)


@pytest.mark.parametrize("borrower", ["node-a2", "node-b1"])
def test_a_borrowed_address_is_reached_from_everywhere_and_vanishes(
    lab: Lab, borrower: str
) -> None:
    told = lab.status()
    with borrowing(lab, borrower) as pod:
        block, stored = block_of_owner(lab)
        at = stored["allocations"][int(pod.address) - int(block.network_address)]
        assert stored["attributes"][at]["secondary"]["node"] == borrower
        assert settles_on(lab, pod), learned_inside(lab, OWNER, pod.block)
        assert routes(f"{lab.name}-{OWNER}", "type", "blackhole", str(block))
        for other in told["pods"]:
            both = ((other["netns"], pod.pod["address"]), (pod.netns, other["address"]))
            for source, target in both:
                assert eventually(partial(pings, source, target)), f"{other['name']}: {target}"
        for tor in told["tors"]:
            outside = tor["outside"]
            assert eventually(partial(pings, pod.netns, outside)), outside
            assert pings(tor["netns"], str(pod.address), "-I", outside), outside
        machines = {each["name"] for each in told["nodes"] + told["tors"]}
        assert eventually(lambda: holders(lab, pod.address) == machines), holders(lab, pod.address)
    assert eventually(lambda: not holders(lab, pod.address)), holders(lab, pod.address)
    assert eventually(lambda: not learned_inside(lab, OWNER, pod.block))
    _, stored = block_of_owner(lab)
    assert stored["allocations"][int(pod.address) - int(pod.block.network_address)] is None


@contextmanager
def announced_by_the_tor(lab: Lab, *prefixes: str) -> Iterator[None]:
    """BIRD originates these prefixes and sends them to its nodes, until the end."""
    kept = lab.exec(TOR, "cat", BIRD_CONF)
    widened = kept.replace("[ RTS_DEVICE, RTS_BGP ]", "[ RTS_DEVICE, RTS_BGP, RTS_STATIC ]")
    assert widened != kept
    planted = " ".join(f"route {prefix} blackhole;" for prefix in prefixes)
    try:
        configure_bird(lab, f"{widened}\nprotocol static planted {{ ipv4; {planted} }}\n")
        yield
    finally:
        configure_bird(lab, kept)


def configure_bird(lab: Lab, text: str) -> None:
    """Give the ToR's BIRD this configuration."""
    script = f'printf %s "$1" >{BIRD_CONF} && birdc configure'
    told = lab.exec(TOR, "sh", "-c", script, "sh", text)
    assert "Reconfigured" in told or "Reconfiguration in progress" in told, told


def refused_inside_our_block(lab: Lab, node: str) -> set[str]:
    """What `felixctl status` names as refused because it lies in the node's own block."""
    done = subprocess.run(
        [*lab.inside(node), "felixctl", "status", "-o", "json"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    told = json.loads(done.stdout)["daemons"]["bgp"]["status"]["learned"]["refused"]
    return {
        example
        for each in told
        if each["reason"].startswith(OUR_BLOCK)
        for example in each["examples"]
    }


@pytest.mark.parametrize("lab", ["default", "rack-as"], indirect=True)
def test_what_a_tor_announces_inside_a_nodes_block_is_refused_and_named(lab: Lab) -> None:
    meshed = gateway_of(lab, "node-a2") != TOR_ADDRESS
    with borrowing(lab, "node-a2") as pod:
        assert settles_on(lab, pod), learned_inside(lab, OWNER, pod.block)
        half = list(pod.block.subnets(new_prefix=pod.block.prefixlen + 1))[1]
        planted = {f"{half[-2]}/32", str(half)}
        # Where nodes hear each other only through the ToR, its own route would take the place of
        # the borrower's; in a mesh both arrive.
        planted |= {f"{pod.address}/32"} if meshed else set()
        with announced_by_the_tor(lab, *sorted(planted)):
            named = {f"{prefix} from {TOR_ADDRESS}" for prefix in planted}
            assert eventually(lambda: named <= refused_inside_our_block(lab, OWNER)), named
            bystander = f"{lab.name}-node-a2"
            hears = {str(half), str(half[-2])}
            assert eventually(lambda: hears <= set(routes(bystander))), "the plant was announced"
            assert settles_on(lab, pod), learned_inside(lab, OWNER, pod.block)
            near = lab.pods(OWNER)[0]
            assert pings(near["netns"], str(pod.address))
            assert pings(pod.netns, near["address"])
        assert eventually(lambda: not refused_inside_our_block(lab, OWNER))
        assert eventually(lambda: not hears & set(routes(bystander)))
