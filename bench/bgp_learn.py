"""From a peer's UPDATEs to kernel routes: our agent behind ExaBGP against BIRD, in one run.

    sudo python -m bench.bgp_learn [--routes 10000 50000] [--rounds 3]

One BIRD announces the routes with equal attributes, packed, to a namespace with our agent and to one
with a BIRD that writes them to its kernel; in turns, so that neither disturbs the other. The clock
runs from the moment the announcing BIRD is given the routes until the kernel holds all of them.
"""

from __future__ import annotations

import argparse
import re
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.functional.bgp_agent.machine import Machine
from tests.support import netns
from tests.support.bird import Bird, configuration, session, until

WAIT_SECONDS = 120.0


def prefixes(count: int) -> list[str]:
    """So many /26 of the pool 10.128.0.0/9."""
    return [f"10.{128 + n // 1024}.{n // 4 % 256}.{n % 4 * 64}/26" for n in range(count)]


def seen_from_outside(namespace: str) -> Path:
    """The kernel's count of a namespace's prefixes, by one of its processes: read without starting one,
    which would take the processors away from whom we measure."""
    done = subprocess.run(
        ["ip", "netns", "pids", namespace], capture_output=True, text=True, check=True
    )
    return Path(f"/proc/{done.stdout.split()[0]}/net/fib_triestat")


def in_kernel(fib: Path) -> int:
    """IPv4 prefixes of the main table; the kernel shows it twice while it shares a trie with local."""
    found = re.search(r"Prefixes:\s+(\d+)", fib.read_text("ascii"))
    assert found is not None
    return int(found[1])


def take(source: Bird, peer: str, namespace: str, count: int) -> tuple[float, float]:
    """Seconds until the kernel holds the routes, and until they are gone again after a withdrawal."""
    until(lambda: source.established(peer), 60)
    fib = seen_from_outside(namespace)
    before = in_kernel(fib)
    took = []
    for verb, target in (("enable", before + count), ("disable", before)):
        started_at = time.perf_counter()
        source.ask(verb, "four")
        until(lambda target=target: in_kernel(fib) == target, WAIT_SECONDS, 0.01)  # type: ignore[misc]
        took.append(time.perf_counter() - started_at)
    return took[0], took[1]


def sender(machine: Machine, count: int) -> Bird:
    """node-2: peers with our node and with node-3; holds the routes back until it is told."""
    own = "10.99.0.2"
    peers = [
        session("node", own, "10.99.0.1", asn=64512, neighbor_asn=64512, options=("disabled",)),
        session("second", own, "10.99.0.3", asn=64512, neighbor_asn=64512, options=("disabled",)),
    ]
    text = configuration(own, *peers, routes=prefixes(count))
    text = text.replace("hold time 9", "hold time 90")
    return machine.bird_with(2, text.replace("static four {", "static four {\n  disabled;"))


def receiver(machine: Machine) -> Bird:
    """node-3: BIRD that writes what it learns to its kernel, as calico-node's does."""
    own = "10.99.0.3"
    peer = session("node", own, "10.99.0.2", asn=64512, neighbor_asn=64512)
    kernel = "protocol kernel {\n  ipv4 { export where source = RTS_BGP; import none; };\n}\n"
    text = configuration(own, peer, kernel).replace("hold time 9", "hold time 90")
    return machine.bird_with(3, text)


def measure(count: int, rounds: int) -> None:
    """Both contenders in turns; medians and their ratio."""
    directory = Path(tempfile.mkdtemp(prefix="felix-py-bench-"))
    directory.chmod(0o755)
    ours: list[tuple[float, float]] = []
    birds: list[tuple[float, float]] = []
    try:
        with netns.Namespaces() as namespaces, Machine(directory, namespaces) as machine:
            machine.put("ippools/blue", "IPPool", {"cidr": "10.128.0.0/9"})
            machine.settings = {"prefixLimit": 2 * count}
            source = sender(machine, count)
            receiver(machine)
            machine.start()
            for _ in range(rounds):
                for name, where, results in (
                    ("node", machine.namespace, ours),
                    ("second", machine.others[3], birds),
                ):
                    source.ask("enable", name)
                    results.append(take(source, name, where, count))
                    source.ask("disable", name)
    finally:
        shutil.rmtree(directory)
    for index, what in enumerate(("learn", "withdraw")):
        mine = statistics.median(one[index] for one in ours)
        other = statistics.median(one[index] for one in birds)
        print(
            f"{what:9} {count:6} routes: felix-py {mine:6.2f} s   BIRD {other:6.2f} s   "
            f"ratio {mine / other:5.2f}"
        )


def main(argv: Sequence[str] | None = None) -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--routes", type=int, nargs="+", default=[10_000, 50_000])
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args(argv)
    for count in options.routes:
        measure(count, options.rounds)


if __name__ == "__main__":
    main()
