"""Resident memory of each daemon in a running lab, against etcd, BIRD and FRR in the same lab.

    sudo python -m bench.memory

VmRSS counts shared pages in full; Pss divides them among those who share them.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench.figures import Figure, Target, emit, table
from bench.throwaway_lab import Lab, lab

DAEMONS = ("felix", "bgp", "cni")
PEERS = {"felix": ("etcd", "etcd"), "cni": ("etcd", "etcd"), "bgp": ("FRR", "bgpd")}
"""The peer of each daemon: its name and the program that is measured."""
MOST_MB = 60.0
SETTLE_SECONDS = 5.0
"""After the proof: what was needed at start only has been let go of by then."""


@dataclass(frozen=True, slots=True)
class Memory:
    """MB of one process."""

    resident: float
    proportional: float


def of_process(pid: int) -> Memory:
    """What /proc says of it."""
    return Memory(
        _field(f"/proc/{pid}/status", "VmRSS"), _field(f"/proc/{pid}/smaps_rollup", "Pss")
    )


def _field(path: str, name: str) -> float:
    for line in Path(path).read_text("ascii", "replace").splitlines():
        field, _, value = line.partition(":")
        if field == name:
            return int(value.split()[0]) / 1024
    raise RuntimeError(f"{path}: has no {name}")


def measure(running: Lab) -> dict[str, list[Memory]]:
    """Every process of the lab's machines, by program."""
    found: dict[str, list[Memory]] = {}
    for programs in running.processes().values():
        for program, pid in programs.items():
            found.setdefault(program, []).append(of_process(pid))
    return found


def figures(found: dict[str, list[Memory]]) -> list[Figure]:
    """Medians over the nodes."""
    result = []
    for daemon in DAEMONS:
        peer, program = PEERS[daemon]
        mine, theirs = found[daemon], found[program]
        resident = median(each.resident for each in mine)
        other = median(each.resident for each in theirs)
        target = Target("ours", "at most", MOST_MB)
        result.append(Figure("memory", f"{daemon} VmRSS", "MB", resident, peer, other, target))
        shared = median(each.proportional for each in mine)
        other = median(each.proportional for each in theirs)
        result.append(Figure("memory", f"{daemon} Pss", "MB", shared, peer, other))
    return result


def show(found: dict[str, list[Memory]], programs: Sequence[str]) -> None:
    """Every program of interest."""
    for program in programs:
        for each in found.get(program, []):
            print(f"{program:9} VmRSS {each.resident:6.1f} MB   Pss {each.proportional:6.1f} MB")


def main() -> None:
    """Measure in a throw-away lab."""
    with lab() as running:
        time.sleep(SETTLE_SECONDS)
        found = measure(running)
    show(found, ("launcher", "etcd", "bird", "bgpd", "zebra"))
    result = figures(found)
    print("\n".join(table(result)))
    emit(result)


if __name__ == "__main__":
    main()
