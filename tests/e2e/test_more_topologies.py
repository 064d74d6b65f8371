"""Both families, a plain cluster, and two without BGP, from nothing: who reaches whom, and as whom."""

from __future__ import annotations

import ipaddress
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Labs
from tests.support.lab import Lab, in_netns

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.timeout(240)]

FAMILIES = {4: ("address", "outside"), 6: ("address6", "outside6")}
"""Version: how status calls a pod's address and a ToR's."""
ASK = "exec 3<>/dev/tcp/$1/8080 && read -t 5 line <&3 && read -t 5 seen <&3 && echo $line $seen"
"""Bash opens the connection; the answer is the server's name and under which address it sees us."""
FELIX_PROTOCOL, BGP_PROTOCOL = "80", "81"
GATEWAY6 = "fe80::ecee:eeff:feee:eeee"


@pytest.fixture(scope="module", params=["dual-stack", "plain", "vxlan", "host-gw"])
def lab(request: pytest.FixtureRequest, labs: Labs) -> Lab:
    return labs.get(request.param)


@pytest.fixture(scope="module")
def dual_stack(labs: Labs) -> Lab:
    return labs.get("dual-stack")


@pytest.fixture(scope="module")
def names(lab: Lab) -> dict[str, Any]:
    return lab.status()


def outside(names: dict[str, Any], version: int) -> dict[str, str]:
    """Name and address of what lies outside."""
    found = {tor["name"]: tor[FAMILIES[version][1]] for tor in names["tors"]}
    for host in names["outsides"]:
        for address in map(ipaddress.ip_interface, host["addresses"]):
            if address.version == version:
                found[host["name"]] = str(address.ip)
    return {name: address for name, address in found.items() if address}


def pods(names: dict[str, Any], version: int) -> dict[str, str]:
    """Name and address of the pods that have one of the family."""
    key = FAMILIES[version][0]
    return {pod["name"]: pod[key] for pod in names["pods"] if pod[key]}


def node_addresses(names: dict[str, Any], version: int) -> dict[str, str]:
    """Node and its address in its rack."""
    management = ipaddress.ip_network("172.31.0.0/24")
    return {
        node["name"]: str(found.ip)
        for node in names["nodes"]
        for found in map(ipaddress.ip_interface, node["addresses"])
        if found.version == version and found.ip not in management
    }


def test_in_both_families_a_pods_gateway_is_the_hosts_explicit_link_local_address(
    dual_stack: Lab,
) -> None:
    for pod in dual_stack.pods():
        told = in_netns(pod["netns"], "ip", "-6", "-j", "route", "show", "default").stdout
        assert [route["gateway"] for route in json.loads(told)] == [GATEWAY6]
        asked = ("ip", "-j", "address", "show", "dev", pod["interface"])
        [link] = json.loads(dual_stack.exec(pod["node"], *asked))
        local = [info["local"] for info in link["addr_info"] if info["family"] == "inet6"]
        assert local == [GATEWAY6]


def test_a_new_pods_ipv6_address_is_of_use_at_once(dual_stack: Lab) -> None:
    """Duplicate address detection would keep it tentative for a second or two."""
    far = dual_stack.pods("node-b1")[0]["address6"]
    name, _ = dual_stack.felix_lab("pod", "add", "node-a1").stdout.split()
    try:
        pod = next(each for each in dual_stack.pods() if each["name"] == name)
        told = in_netns(
            pod["netns"], "ip", "-6", "-o", "address", "show", "eth0", "scope", "global"
        )
        assert f" {pod['address6']}/128 " in told.stdout
        assert "tentative" not in told.stdout
        in_netns(pod["netns"], "ping", "-c", "1", "-W", "5", far)
    finally:
        dual_stack.felix_lab("pod", "del", name)


def test_nodes_that_live_on_router_advertisements_keep_doing_so(dual_stack: Lab) -> None:
    for node in ("node-a1", "node-a2"):
        assert dual_stack.exec(node, "sysctl", "-n", "net.ipv6.conf.all.forwarding").strip() == "1"
        assert dual_stack.exec(node, "sysctl", "-n", "net.ipv6.conf.eth0.accept_ra").strip() == "2"
        [route] = json.loads(dual_stack.exec(node, "ip", "-6", "-j", "route", "show", "default"))
        assert route["protocol"] == "ra"
    [by_hand] = json.loads(dual_stack.exec("node-b1", "ip", "-6", "-j", "route", "show", "default"))
    assert by_hand.get("protocol") != "ra"


def test_ipv6_has_sessions_of_its_own_with_one_tor_and_shares_them_with_the_other(
    dual_stack: Lab,
) -> None:
    told = dual_stack.exec("tor-a", "birdc", "-r", "show", "protocols").splitlines()
    up = {line.split()[0] for line in told if " BGP " in line and "Established" in line}
    assert up == {"node_a1", "node_a1_v6", "node_a2", "node_a2_v6", "tor_b", "tor_b_v6"}
    asked = ("vtysh", "-c", "show bgp ipv6 unicast summary json")
    peers = json.loads(dual_stack.exec("tor-b", *asked))["peers"]
    assert {(peer, about["state"]) for peer, about in peers.items()} == {
        ("10.10.2.11", "Established"),
        ("10.10.2.12", "Established"),
        ("fd00:10:255::", "Established"),
    }
    assert all(about["pfxRcd"] >= 1 for about in peers.values())


def test_a_pool_that_asks_for_ipip_in_ipv6_is_refused_by_name(
    dual_stack: Lab, tmp_path: Path
) -> None:
    wanted = tmp_path / "ipip.yaml"
    wanted.write_text(
        "apiVersion: projectcalico.org/v3\nkind: IPPool\nmetadata: {name: six}\n"
        'spec: {cidr: "fd00:10:245::/112", ipipMode: Always}\n'
    )
    apply = [*dual_stack.inside("node-a1"), "felixctl", "apply", "-f", str(wanted)]
    done = subprocess.run(apply, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode != 0
    assert "spec.ipipMode" in done.stderr
    assert "IPv6" in done.stderr


def test_every_pod_pings_every_pod_and_what_is_outside_in_its_families(
    names: dict[str, Any],
) -> None:
    families = [version for version in (4, 6) if pods(names, version)]
    assert families == ([4, 6] if names["topology"] in {"dual-stack", "vxlan"} else [4])
    for version in families:
        inside = pods(names, version)
        assert len(inside) == len(names["pods"])
        targets = [*inside.values(), *outside(names, version).values()]
        for pod in names["pods"]:
            done = in_netns(pod["netns"], "fping", "-u", "-r", "3", *targets, check=False)
            assert done.stdout == "", f"{pod['name']} does not reach {done.stdout.split()}"


def test_pods_see_one_another_as_they_are_and_the_outside_sees_the_node_where_pools_say_so(
    names: dict[str, Any],
) -> None:
    translated = names["topology"] != "dual-stack"
    for version in (4, 6):
        inside, nodes = pods(names, version), node_addresses(names, version)
        expected = {**dict.fromkeys(inside, False), **dict.fromkeys(outside(names, version), True)}
        targets = {**inside, **outside(names, version)}
        for pod in [pod for pod in names["pods"] if pod["name"] in inside]:
            for name, address in targets.items():
                told = in_netns(pod["netns"], "bash", "-c", ASK, "ask", address, check=False)
                as_node = expected[name] and translated
                seen = nodes[pod["node"]] if as_node else inside[pod["name"]]
                assert told.stdout.split() == [name, seen], f"{pod['name']} -> {name} ({address})"


def test_a_pod_has_a_route_of_its_own_and_every_node_those_of_the_others_blocks(
    lab: Lab, names: dict[str, Any]
) -> None:
    by_bgp = names["topology"] in {"dual-stack", "plain"}
    for version in (4, 6):
        inside = pods(names, version)
        found = lab.etcd(f"/calico/ipam/v2/assignment/ipv{version}/block/")
        owners = {
            value["cidr"]: value["affinity"].removeprefix("host:") for value in found.values()
        }
        assert bool(owners) == bool(inside)
        for node in names["nodes"] if inside else []:
            told = in_netns(node["netns"], "ip", f"-{version}", "-N", "-j", "route").stdout
            routes = {route["dst"]: route for route in json.loads(told)}
            for pod in [pod for pod in names["pods"] if pod["node"] == node["name"]]:
                assert routes[inside[pod["name"]]]["dev"] == pod["interface"]
                assert routes[inside[pod["name"]]]["protocol"] == FELIX_PROTOCOL
            for block in [block for block, owner in owners.items() if owner != node["name"]]:
                wanted = BGP_PROTOCOL if by_bgp else FELIX_PROTOCOL
                assert routes[block]["protocol"] == wanted, f"{node['name']}: {block}"
