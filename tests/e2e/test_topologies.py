"""The three topologies from nothing: who reaches whom, and what the ToRs and the kernels say."""

from __future__ import annotations

import ipaddress
import json
import subprocess
import time
from typing import Any

import pytest

from tests.e2e.conftest import Labs
from tests.support.lab import Lab, in_netns

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.timeout(240)]

POOL = ipaddress.IPv4Network("10.244.0.0/16")
BGP_PROTOCOL = "81"
DAEMONS = {"felix", "bgp", "launcher", "exabgp", "relay", "cni"}
ASK = "exec 3<>/dev/tcp/$1/8080 && read -t 5 line <&3 && echo $line"  # bash opens the connection


@pytest.fixture(scope="module", params=["default", "rack-as", "reflector"])
def lab(request: pytest.FixtureRequest, labs: Labs) -> Lab:
    return labs.get(request.param)


@pytest.fixture(scope="module")
def names(lab: Lab) -> dict[str, Any]:
    return lab.status()


def blocks(lab: Lab) -> dict[str, str]:
    """Each block with its node, by etcdctl."""
    found = lab.etcd("/calico/ipam/v2/assignment/ipv4/block/")
    return {value["cidr"]: value["affinity"].removeprefix("host:") for value in found.values()}


def tor_routes(lab: Lab, tor: dict[str, Any]) -> dict[str, set[str]]:
    """A ToR's routes in its own kernel: prefix and gateways."""
    found = json.loads(in_netns(tor["netns"], "ip", "-j", "route").stdout)
    return {
        route["dst"]: {hop["gateway"] for hop in route.get("nexthops", [route]) if "gateway" in hop}
        for route in found
    }


def test_every_pod_pings_every_pod_and_both_outside_addresses(names: dict[str, Any]) -> None:
    targets = [pod["address"] for pod in names["pods"]] + [tor["outside"] for tor in names["tors"]]
    assert len(targets) == 14
    for pod in names["pods"]:
        done = in_netns(pod["netns"], "fping", "-u", "-r", "2", *targets, check=False)
        assert done.stdout == "", f"{pod['name']} does not reach {done.stdout.split()}"


def test_every_pod_reaches_the_right_server_by_tcp(names: dict[str, Any]) -> None:
    targets = {pod["address"]: pod["name"] for pod in names["pods"]}
    targets |= {tor["outside"]: tor["name"] for tor in names["tors"]}
    for pod in names["pods"]:
        for address, name in targets.items():
            done = in_netns(pod["netns"], "bash", "-c", ASK, "ask", address, check=False)
            assert done.stdout.strip() == name, f"{pod['name']} -> {name} ({address})"


def test_packets_between_racks_pass_the_spine_as_they_are(names: dict[str, Any]) -> None:
    source, target = names["pods"][0], names["pods"][-1]
    first, second = names["tors"]
    capture = subprocess.Popen(
        ["nsenter", f"--net=/run/netns/{first['netns']}", "--", "tcpdump", "-n", "-l", "-c", "1",
         "-i", second["name"], f"icmp and src {source['address']} and dst {target['address']}"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    try:
        for _ in range(20):
            in_netns(source["netns"], "ping", "-c", "1", "-W", "1", target["address"])
            if capture.poll() is not None:
                break
            time.sleep(0.2)
        seen, _ = capture.communicate(timeout=5)
    finally:
        capture.kill()
        capture.wait()
    assert "ICMP echo request" in seen


def test_no_machine_has_a_tunnel(names: dict[str, Any]) -> None:
    for machine in names["nodes"] + names["tors"]:
        links = json.loads(in_netns(machine["netns"], "ip", "-j", "-d", "link").stdout)
        kinds = {
            link.get("linkinfo", {}).get("info_kind") for link in links if "UP" in link["flags"]
        }
        assert kinds <= {None, "veth", "bridge"}


def test_birds_sessions_are_established(lab: Lab, names: dict[str, Any]) -> None:
    birds = [tor["name"] for tor in names["tors"] if tor["kind"] == "bird"]
    birds += [names["reflector"]["name"]] if names["reflector"] else []
    for name in birds:
        told = lab.exec(name, "birdc", "-r", "show", "protocols").splitlines()
        sessions = [line for line in told if " BGP " in line]
        assert sessions
        assert all("Established" in line for line in sessions), sessions


def test_frrs_sessions_are_established(lab: Lab, names: dict[str, Any]) -> None:
    for name in [tor["name"] for tor in names["tors"] if tor["kind"] == "frr"]:
        told = json.loads(lab.exec(name, "vtysh", "-c", "show bgp ipv4 unicast summary json"))
        states = {peer: about["state"] for peer, about in told["peers"].items()}
        assert states
        assert set(states.values()) == {"Established"}, states


def test_each_tor_forwards_each_block_to_its_owner_or_to_the_other_tor(
    lab: Lab, names: dict[str, Any]
) -> None:
    nodes = {node["name"]: node for node in names["nodes"]}
    owned = blocks(lab)
    assert set(owned.values()) == set(nodes)
    for tor in names["tors"]:
        routes = tor_routes(lab, tor)
        rack = tor["name"].removeprefix("tor-")
        for block, owner in owned.items():
            gateways = routes.get(block, set())
            assert gateways, f"{tor['name']} has no route to {block} of {owner}"
            own = nodes[owner]["addresses"][0].split("/")[0]
            here = nodes[owner]["rack"] == rack
            assert (gateways == {own}) if here else own not in gateways or len(gateways) == 1


def test_nodes_learned_the_others_blocks_and_nothing_outside_the_pool(
    lab: Lab, names: dict[str, Any]
) -> None:
    owned = blocks(lab)
    for node in names["nodes"]:
        told = in_netns(node["netns"], "ip", "-j", "route", "show", "proto", BGP_PROTOCOL).stdout
        learned = {r["dst"] for r in json.loads(told) if r.get("type", "unicast") == "unicast"}
        assert {block for block, owner in owned.items() if owner != node["name"]} <= learned
        assert all(ipaddress.IPv4Network(prefix).subnet_of(POOL) for prefix in learned)


def test_status_names_everything(lab: Lab, names: dict[str, Any]) -> None:
    assert {"nodes", "pods", "tors", "processes", "etcd"} <= set(names)
    for node in names["nodes"]:
        told = json.loads(in_netns(node["netns"], "ip", "-j", "-4", "address").stdout)
        real = {
            f"{address['local']}/{address['prefixlen']}"
            for link in told
            for address in link.get("addr_info", [])
        }
        assert set(node["addresses"]) <= real
        kinds = {each["kind"] for each in names["processes"] if each["node"] == node["name"]}
        assert kinds >= DAEMONS
    for pod in names["pods"]:
        told = in_netns(pod["netns"], "ip", "-o", "-4", "address", "show", "eth0").stdout
        assert f" {pod['address']}/32 " in told
    assert lab.exec("etcd", "etcdctl", "endpoint", "health", "-w", "json")
    assert names["etcd"]["endpoint"].startswith("http")


def test_every_process_of_status_runs_in_its_nodes_network(names: dict[str, Any]) -> None:
    namespaces = {each["name"]: each["netns"] for each in names["nodes"] + names["tors"]}
    for each in [each for each in names["processes"] if each["node"] in namespaces]:
        told = subprocess.run(
            ["ip", "netns", "identify", str(each["pid"])],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        assert told.strip() == namespaces[each["node"]], each


def test_up_prints_the_proof_the_routers_words_and_the_time(labs: Labs, lab: Lab) -> None:
    printed = next(text for text in labs.printed.values() if lab.name in text)
    for part in ("pod-a1-1", "tor-a", "BIRD", "FRR", "Try next", "is up after"):
        assert part in printed
