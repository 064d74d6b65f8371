"""The default lab up, proof included, and down; against iproute2 making as many bare namespaces.

sudo python -m bench.lab_up [--rounds 1]
"""

from __future__ import annotations

import argparse
import secrets
import subprocess
import time
from statistics import median

from bench.figures import Figure, Target, emit, table
from bench.throwaway_lab import lab

UP_SECONDS, DOWN_SECONDS = 60.0, 10.0
PEER = "ip netns, bare"


def bare(count: int) -> tuple[float, float]:
    """Seconds to add, and to delete, so many namespaces one after the other."""
    names = [f"bm{secrets.token_hex(4)}" for _ in range(count)]
    took = []
    for verb in ("add", "del"):
        started_at = time.monotonic()
        for name in names:
            subprocess.run(["ip", "netns", verb, name], check=True)
        took.append(time.monotonic() - started_at)
    return took[0], took[1]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    ups, downs, adds, deletes = [], [], [], []
    for _ in range(options.rounds):
        with lab() as running:
            count = running.namespaces()
        added, deleted = bare(count)
        ups.append(running.up_seconds)
        downs.append(running.down_seconds)
        adds.append(added)
        deletes.append(deleted)
    up, down = Target("ours", "at most", UP_SECONDS), Target("ours", "at most", DOWN_SECONDS)
    result = [
        Figure("lab_up", "default lab up and proved", "s", median(ups), PEER, median(adds), up),
        Figure("lab_up", "default lab down", "s", median(downs), PEER, median(deletes), down),
    ]
    print("\n".join(table(result)))
    emit(result)


if __name__ == "__main__":
    main()
