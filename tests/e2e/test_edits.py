"""An operator's edit takes effect without a restart; a broken value is named and changes nothing else."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from tests.support.lab import Lab, eventually, in_netns

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.timeout(240)]

RESOURCES = "/calico/resources/v3/projectcalico.org/"
SECONDS = 20.0
"""A bound for slow machines; nothing is timed here."""
DAEMONS = ("felix", "bgp", "cni", "exabgp", "relay", "launcher")


@pytest.fixture
def lab(default_lab: Lab) -> Iterator[Lab]:
    """The default lab; whatever a test edits is put back, and no daemon was restarted."""
    before = processes(default_lab)
    stored = default_lab.etcd(RESOURCES)
    yield default_lab
    edited = default_lab.etcd(RESOURCES)
    for key, value in stored.items():
        if edited.get(key) != value and re.search("/(ippools|bgppeers|bgpconfigurations)/", key):
            put(default_lab, key, value)
    assert processes(default_lab) == before


def nodes(lab: Lab) -> list[dict[str, Any]]:
    """The lab's nodes."""
    found: list[dict[str, Any]] = lab.status()["nodes"]
    return found


def processes(lab: Lab) -> set[tuple[str, str, int]]:
    """(node, kind, process id) of every daemon."""
    told = lab.status()["processes"]
    return {(each["node"], each["kind"], each["pid"]) for each in told if each["kind"] in DAEMONS}


def put(lab: Lab, key: str, value: dict[str, Any] | str) -> None:
    """A plain `etcdctl put`."""
    text = value if isinstance(value, str) else json.dumps(value)
    lab.exec("etcd", "etcdctl", "put", key, "--", text)


def said(lab: Lab, node: str) -> dict[str, Any]:
    """`felixctl status -o json` on a node, whatever its exit code says."""
    done = lab.felix_lab("exec", node, "--", "felixctl", "status", "-o", "json", check=False)
    loaded: dict[str, Any] = json.loads(done.stdout)
    return loaded


def bird_sessions(lab: Lab) -> dict[str, str]:
    """tor-a's BGP sessions: name to state and since when."""
    lines = lab.exec("tor-a", "birdc", "-r", "show", "protocols").splitlines()
    split = [line.split() for line in lines if " BGP " in line]
    return {words[0]: " ".join(words[4:]) for words in split}


def routes(lab: Lab) -> dict[str, list[str]]:
    """Each node's routes of ours, local and learned, as `ip` prints them."""
    found: dict[str, list[str]] = {}
    for each in nodes(lab):
        told = in_netns(each["netns"], "ip", "-N", "route", "show").stdout.splitlines()
        found[each["name"]] = sorted(line for line in told if re.search(r"proto 8[01]\b", line))
    return found


def test_a_pool_disabled_by_etcdctl_gives_nothing_out_and_running_pods_go_on(lab: Lab) -> None:
    key = f"{RESOURCES}ippools/pods"
    pool = lab.etcd(key)[key]
    pool["spec"]["disabled"] = True
    put(lab, key, pool)

    def refused() -> bool:
        done = lab.felix_lab("pod", "add", "node-a1", "edited", check=False)
        if done.returncode == 0:
            lab.felix_lab("pod", "del", "edited")
        return done.returncode == 1 and "pool" in done.stderr

    assert eventually(refused, SECONDS)
    lab.felix_lab("prove")
    del pool["spec"]["disabled"]
    put(lab, key, pool)

    def given() -> bool:
        return lab.felix_lab("pod", "add", "node-a1", "edited", check=False).returncode == 0

    assert eventually(given, SECONDS)
    lab.felix_lab("pod", "del", "edited")


def test_a_peer_deleted_and_made_again_touches_no_other_session(lab: Lab) -> None:
    key = f"{RESOURCES}bgppeers/tor-a"
    peer = lab.etcd(key)[key]
    others = {name: told for name, told in bird_sessions(lab).items() if "node" not in name}
    assert others
    lab.exec("node-b1", "felixctl", "delete", "bgppeer", "tor-a")
    assert eventually(
        lambda: all(
            "Established" not in told for name, told in bird_sessions(lab).items() if "node" in name
        ),
        SECONDS,
    )
    put(lab, key, peer)
    assert eventually(
        lambda: all("Established" in told for told in bird_sessions(lab).values()), SECONDS
    )
    now = bird_sessions(lab)
    assert {name: now[name] for name in others} == others


def test_a_wrong_as_number_is_named_and_its_correction_brings_the_session_back(lab: Lab) -> None:
    key = f"{RESOURCES}bgppeers/tor-a"
    peer = lab.etcd(key)[key]
    put(lab, key, {**peer, "spec": {**peer["spec"], "asNumber": 65099}})

    def named() -> bool:
        text = json.dumps(said(lab, "node-a1"))
        return "65099" in text and "Established" not in bird_sessions(lab)["node_a1"]

    assert eventually(named, SECONDS)
    put(lab, key, peer)
    assert eventually(lambda: "Established" in bird_sessions(lab)["node_a1"], SECONDS)


@pytest.mark.parametrize(
    ("key", "text", "field"),
    [
        (
            "ippools/broken",
            '{"kind":"IPPool","metadata":{"name":"broken"},"spec":{"cidr":7}}',
            "cidr",
        ),
        ("bgppeers/broken", '{"metadata":{"name":"broken"},"spec":{"peerIP":"ten"}}', "peerIP"),
        ("ippools/torn", '{"kind":"IPPool","metad', ""),
    ],
)
def test_a_broken_value_is_named_in_status_and_log_and_changes_nothing(
    lab: Lab, key: str, text: str, field: str
) -> None:
    before = routes(lab)
    assert all(before.values())
    put(lab, f"{RESOURCES}{key}", text)

    def invalid() -> list[dict[str, str]]:
        told = json.dumps(said(lab, "node-a1"))
        return [{"told": told}] if key in told and field in told else []

    assert eventually(lambda: bool(invalid()), SECONDS)
    logs = [lab.felix_lab("logs", "node-a1", daemon).stdout for daemon in ("felix", "bgp", "cni")]
    assert any(key in text for text in logs)
    assert routes(lab) == before
    lab.felix_lab("prove")
    lab.exec("etcd", "etcdctl", "del", f"{RESOURCES}{key}")
    assert eventually(lambda: not invalid(), SECONDS)


def test_a_floating_address_is_led_to_its_pod_from_everywhere_once_felix_serves_them(
    lab: Lab,
) -> None:
    told = lab.status()
    pod = next(each for each in told["pods"] if each["node"] == "node-a1")
    stranger = next(each for each in told["pods"] if each["node"] == "node-b2")
    floating, configuration = "10.244.255.9", f"{RESOURCES}felixconfigurations/default"
    endpoint = next(
        key for key, value in lab.etcd(RESOURCES).items() if named(value) == pod["interface"]
    )
    before = lab.etcd(endpoint)[endpoint]
    nats = [{"internalIP": pod["address"], "externalIP": floating}]
    put(lab, endpoint, {**before, "spec": {**before["spec"], "ipNATs": nats}})
    assert not asked(stranger["netns"], floating), "nobody said that they are served"
    served = {
        "kind": "FelixConfiguration",
        "apiVersion": "projectcalico.org/v3",
        "metadata": {"name": "default"},
        "spec": {"floatingIPs": "Enabled"},
    }
    put(lab, configuration, served)
    try:
        for netns in (stranger["netns"], pod["netns"], *(tor["netns"] for tor in told["tors"])):
            assert eventually(partial(asked, netns, floating), SECONDS), netns
        assert floating in lab.exec("tor-a", "birdc", "-r", "show", "route", "for", floating)
    finally:
        lab.exec("etcd", "etcdctl", "del", configuration)
        put(lab, endpoint, before)
    assert eventually(lambda: not asked(stranger["netns"], floating), SECONDS)


def named(value: object) -> str:
    """The link that an endpoint names; empty: it is no endpoint."""
    found = value if isinstance(value, dict) else {}
    return str(found.get("spec", {}).get("interfaceName", ""))


def asked(netns: str, address: str) -> bool:
    """Whether an address answers a ping from there."""
    done = in_netns(netns, "ping", "-n", "-c", "1", "-W", "1", address, check=False)
    return done.returncode == 0
