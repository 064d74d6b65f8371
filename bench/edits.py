"""How soon an operator's edit in etcd shows in a ToR's kernel: a pool's disableBGPExport, on and off.

sudo python -m bench.edits [--rounds 5]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import time
from statistics import median

from bench.figures import Figure, Target, emit, table
from bench.throwaway_lab import ROOT, lab
from felix_py.lab import commands_inside
from felix_py.lab.home import Home

POOL = "/calico/resources/v3/projectcalico.org/ippools/pods"
PREFIX = "10.244."
MOST_SECONDS = 30.0
TARGET = Target("ours", "at most", 2.0)


def run(home: Home, where: str, *command: str) -> str:
    """What a command wrote inside a machine of the lab."""
    argv = commands_inside.inside(home, where, list(command))
    return subprocess.run(argv, check=True, capture_output=True, text=True, timeout=30).stdout


def blocks(home: Home) -> int:
    """How many of the pool's blocks tor-a's kernel has."""
    told = json.loads(run(home, "tor-a", "ip", "-j", "route"))
    return sum(route["dst"].startswith(PREFIX) for route in told)


def seconds_until(home: Home, hidden: bool, wanted: int) -> float:  # noqa: FBT001  one switch
    """Put the pool with or without export; the seconds until the ToR has so many blocks."""
    pool = json.loads(run(home, "etcd", "etcdctl", "get", "--print-value-only", POOL))
    pool["spec"]["disableBGPExport"] = hidden
    started_at = time.monotonic()
    run(home, "etcd", "etcdctl", "put", POOL, "--", json.dumps(pool))
    while blocks(home) != wanted:
        if time.monotonic() - started_at > MOST_SECONDS:
            raise TimeoutError(f"tor-a has {blocks(home)} blocks, not {wanted}")
        time.sleep(0.01)
    return time.monotonic() - started_at


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    gone, back = [], []
    with lab() as running:
        home = Home(running.name, ROOT / running.name)
        count = blocks(home)
        for _ in range(options.rounds):
            gone.append(seconds_until(home, hidden=True, wanted=0))
            back.append(seconds_until(home, hidden=False, wanted=count))
    result = [
        Figure(
            "edits", "pool no longer exported, gone at the ToR", "s", median(gone), "", None, TARGET
        ),
        Figure(
            "edits", "pool exported again, back at the ToR", "s", median(back), "", None, TARGET
        ),
    ]
    print("\n".join(table(result)))
    emit(result)


if __name__ == "__main__":
    main()
