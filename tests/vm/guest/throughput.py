"""What IPIP costs: TCP between pods on two subnets through tunl0, and the same pods without a tunnel.

The program of a virtual machine, for bench/ipip.py: `python -m tests.vm.guest.throughput RESULTS`. All is
emulated, so that only the ratio of the two means something.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

from tests.vm.guest.cluster import DIRECT, TUNNEL, Cluster, all_ways

FILE = "throughput.json"
ROUNDS = 3
SECONDS = 4
START_SECONDS = 60.0


def gigabits(client: str, server: str, address: str) -> float:
    """One TCP stream between two namespaces, as the receiver counts it."""
    listening = subprocess.Popen(
        _inside(server, "iperf3", "-s", "-1", "--forceflush"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    try:
        _await_listener(server)
        argv = _inside(client, "iperf3", "-c", address, "-t", str(SECONDS), "-J")
        done = subprocess.run(argv, check=True, capture_output=True, timeout=120)
        return float(json.loads(done.stdout)["end"]["sum_received"]["bits_per_second"]) / 1e9
    finally:
        listening.kill()
        listening.wait()


def _await_listener(server: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while (
        b":5201"
        not in subprocess.run(
            _inside(server, "ss", "-Hltn"), check=True, capture_output=True
        ).stdout
    ):
        assert time.monotonic() < deadline, "iperf3 does not listen"
        time.sleep(0.2)


def _inside(netns: str, *argv: str) -> list[str]:
    return ["nsenter", f"--net=/run/netns/{netns}", "--", *argv]


def main() -> int:
    """Measure through the tunnel, change the pool's mode, measure without it."""
    file = Path(sys.argv[1]) / FILE
    cluster = Cluster(lambda text: print(text, flush=True))
    cluster.up()
    pair = cluster.pair("node-a1", "node-b1")
    one, other = (cluster.pods[name].netns for name in pair.nodes)
    found: dict[str, list[float]] = {}
    for name, mode, across in (("IPIP", "CrossSubnet", TUNNEL), ("direct", "Never", DIRECT)):
        cluster.set_mode(mode)
        wanted = all_ways(inside=DIRECT, across=across)
        assert cluster.wait_for(wanted) == wanted
        found[name] = [gigabits(one, other, pair.inner[1]) for _ in range(ROUNDS)]
    file.write_text(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
