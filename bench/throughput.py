"""How much, and how quickly, packets travel: pod to pod by our links and routes, against their peers.

    sudo python -m bench.throughput [--seconds 2] [--rounds 3]

On one node pods attached by us against pods attached by `ptp`; across racks pods against the nodes
themselves, without a tunnel (`default`) and through VXLAN (`vxlan`). TCP by one iperf3 stream, round trips
by ping, in turns. Every hop is a namespace of one machine, so only ratios mean something.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import secrets
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.figures import Figure, emit, table
from bench.throwaway_lab import FELIX_LAB, Lab, lab
from tests.support import netns

REFERENCE_PLUGINS = Path("/usr/lib/cni")
PINGS = 500
PORT = 5201
START_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Pair:
    """From one namespace to an address that another has."""

    name: str
    client: str
    server: str
    address: str


@dataclass(frozen=True, slots=True)
class Measured:
    """Gbit/s of TCP, and microseconds of a round trip."""

    gigabits: float
    round_trip: float


def measure(pairs: Sequence[Pair], rounds: int, seconds: int) -> dict[str, Measured]:
    """Medians over the rounds; in every round another pair goes first."""
    found: dict[str, list[Measured]] = {pair.name: [] for pair in pairs}
    for number in range(rounds):
        first = number % len(pairs)
        for pair in (*pairs[first:], *pairs[:first]):
            found[pair.name].append(Measured(gigabits(pair, seconds), round_trip(pair)))
    return {
        name: Measured(
            statistics.median(each.gigabits for each in results),
            statistics.median(each.round_trip for each in results),
        )
        for name, results in found.items()
    }


def gigabits(pair: Pair, seconds: int) -> float:
    """One TCP stream, as the receiver counts it."""
    server = subprocess.Popen(
        netns.command(pair.server, "iperf3", "-s", "-1", "-p", str(PORT)),
        stdout=subprocess.DEVNULL,
    )
    try:
        netns_listens(pair.server)
        client = ("iperf3", "-c", pair.address, "-p", str(PORT), "-t", str(seconds), "-J")
        told = json.loads(netns.run(pair.client, *client))
        return float(told["end"]["sum_received"]["bits_per_second"]) / 1e9
    finally:
        server.kill()
        server.wait()


def netns_listens(namespace: str) -> None:
    """Wait until the server listens."""
    deadline = time.monotonic() + START_SECONDS
    while f":{PORT}" not in netns.run(namespace, "ss", "-Hltn"):
        if time.monotonic() > deadline:
            raise TimeoutError(f"iperf3 does not listen in {namespace}")
        time.sleep(0.02)


def round_trip(pair: Pair) -> float:
    """The mean of many pings, in microseconds."""
    ping = ("ping", "-q", "-i", "0.002", "-c", str(PINGS), pair.address)
    found = re.search(r"= [0-9.]+/([0-9.]+)/", netns.run(pair.client, *ping))
    assert found is not None
    return float(found[1]) * 1000


@contextmanager
def ptp_pods(node: str) -> Iterator[tuple[Pair, ...]]:
    """Two pods that the reference plugin attaches to a node."""
    with tempfile.TemporaryDirectory() as directory, netns.Namespaces() as namespaces:
        pods = [namespaces.create(), namespaces.create()]
        network = {
            "cniVersion": "1.0.0",
            "name": "bench",
            "type": "ptp",
            "ipam": {
                "type": "host-local",
                "dataDir": directory,
                "ranges": [[{"subnet": "10.9.0.0/24"}]],
                "routes": [{"dst": "0.0.0.0/0"}],
            },
        }
        ids = [f"bench-{secrets.token_hex(4)}" for _ in pods]
        try:
            results = [
                plugin("ADD", network, node, pod, name) for pod, name in zip(pods, ids, strict=True)
            ]
            address = results[1]["ips"][0]["address"].split("/")[0]
            yield (Pair("ptp", pods[0], pods[1], address),)
        finally:
            for pod, name in zip(pods, ids, strict=True):
                plugin("DEL", network, node, pod, name)


def plugin(command: str, network: dict[str, Any], node: str, pod: str, name: str) -> dict[str, Any]:
    """One call of the reference plugin inside a node."""
    variables = {
        "CNI_COMMAND": command,
        "CNI_CONTAINERID": name,
        "CNI_NETNS": str(netns.path(pod)),
        "CNI_IFNAME": "eth0",
        "CNI_PATH": str(REFERENCE_PLUGINS),
    }
    done = subprocess.run(
        netns.command(node, str(REFERENCE_PLUGINS / "ptp")),
        env={**os.environ, **variables},
        input=json.dumps(network).encode(),
        stdout=subprocess.PIPE,
        check=True,
    )
    return json.loads(done.stdout) if command == "ADD" else {}


def inventory(running: Lab) -> dict[str, Any]:
    """What the lab says of itself."""
    argv = [str(FELIX_LAB), "--name", running.name, "status", "-o", "json"]
    done = subprocess.run(argv, check=True, stdout=subprocess.PIPE)
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def across(running: Lab, ours: str) -> tuple[Pair, Pair]:
    """Pod to pod, and node to node, from rack a to rack b."""
    told = inventory(running)
    nodes = {each["name"]: each for each in told["nodes"]}
    pods = {each["node"]: each for each in told["pods"]}
    (one, other), (here, there) = (
        (pods["node-a1"], pods["node-b1"]),
        (nodes["node-a1"], nodes["node-b1"]),
    )
    address = there["addresses"][0].split("/")[0]
    return (
        Pair(ours, one["netns"], other["netns"], other["address"]),
        Pair("host to host", here["netns"], there["netns"], address),
    )


def within(running: Lab) -> Pair:
    """Two pods of ours on one node."""
    pods = [each for each in inventory(running)["pods"] if each["node"] == "node-a1"]
    return Pair("ours", pods[0]["netns"], pods[1]["netns"], pods[1]["address"])


def figures(what: str, found: dict[str, Measured], ours: str, peer: str) -> list[Figure]:
    """Two lines of the result."""
    mine, other = found[ours], found[peer]
    return [
        Figure("throughput", f"{what}: TCP", "Gbit/s", mine.gigabits, peer, other.gigabits),
        Figure("throughput", f"{what}: round trip", "us", mine.round_trip, peer, other.round_trip),
    ]


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args(argv)
    rounds, seconds = options.rounds, options.seconds
    result: list[Figure] = []
    with lab("default") as running:
        node = next(n for n in inventory(running)["nodes"] if n["name"] == "node-a1")["netns"]
        with ptp_pods(node) as peers:
            found = measure((within(running), *peers), rounds, seconds)
        result += figures("pod to pod on one node", found, "ours", "ptp")
        found = measure(across(running, "ours"), rounds, seconds)
        result += figures("pod to pod across racks, direct", found, "ours", "host to host")
    with lab("vxlan") as running:
        found = measure(across(running, "ours"), rounds, seconds)
        result += figures("pod to pod across racks, VXLAN", found, "ours", "host to host")
    print("\n".join(table(result)))
    emit(result)


if __name__ == "__main__":
    main()
