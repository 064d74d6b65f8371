"""ADD and DEL as a runtime sees them: shim, server and etcd against ptp + host-local, in one run.

    sudo python -m bench.cni [--pods 64] [--rounds 5] [--at-once 16] [--disk]

Both work in the same throw-away node namespace, on the same pods' namespaces, in turns. etcd's
data lies in memory unless `--disk`; host-local keeps its files in the same place.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from bench.figures import Figure, Target, emit
from tests.functional.cni.node import CniNode, configuration
from tests.functional.cni.runtime import compile_shim, environment
from tests.support import netns

REFERENCE_PLUGINS = Path("/usr/lib/cni")
TARGETS = {
    "add_p50": Target("ratio", "at most", 0.5),
    "add_rate": Target("ratio", "at least", 2.5),
    "del_rate": Target("ratio", "at least", 3.0),
}


@dataclass(frozen=True, slots=True)
class Contender:
    """A plugin with its configuration and environment."""

    name: str
    executable: Path
    stdin: Path
    extra: Mapping[str, str]

    def call(self, command: str, number: int, pod: str) -> float:
        """One call; milliseconds. Raises RuntimeError when it fails."""
        variables = environment(command, f"bench-{number:06d}", str(netns.path(pod)))
        started_at = time.perf_counter()
        child = os.posix_spawn(
            str(self.executable),
            [str(self.executable)],
            {**variables, **self.extra},
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, str(self.stdin), os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0),
            ],
        )
        _, status = os.waitpid(child, 0)
        took = (time.perf_counter() - started_at) * 1000
        if status:
            raise RuntimeError(f"{self.name}: {command} of {pod} failed with status {status}")
        return took


@dataclass(slots=True)
class Measured:
    """Milliseconds of single calls, and calls per second at once."""

    singles: dict[str, list[float]] = field(default_factory=lambda: {"ADD": [], "DEL": []})
    rates: dict[str, list[float]] = field(default_factory=lambda: {"ADD": [], "DEL": []})

    def p50(self, command: str) -> float:
        """The median of single calls."""
        return statistics.median(self.singles[command])

    def p99(self, command: str) -> float:
        """Their 99th percentile."""
        ordered = sorted(self.singles[command])
        return ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]

    def rate(self, command: str) -> float:
        """The median over the rounds of calls per second."""
        return statistics.median(self.rates[command])


def measure(
    contenders: Sequence[Contender], pods: Sequence[str], rounds: int, at_once: int
) -> dict[str, Measured]:
    """Every round each contender goes through all pods, one at a time and then many at once.

    They take turns in going first, because the host is shared and its load drifts.
    """
    results = {contender.name: Measured() for contender in contenders}
    for number in range(rounds):
        turns = contenders if number % 2 == 0 else contenders[::-1]
        for contender in turns:
            measured = results[contender.name]
            for command in ("ADD", "DEL"):
                measured.singles[command] += [
                    contender.call(command, index, pod) for index, pod in enumerate(pods)
                ]
        for contender in turns:
            for command in ("ADD", "DEL"):
                results[contender.name].rates[command].append(
                    _rate(contender, command, pods, at_once)
                )
    return results


def _rate(contender: Contender, command: str, pods: Sequence[str], at_once: int) -> float:
    call: Callable[[tuple[int, str]], float] = lambda item: contender.call(command, *item)  # noqa: E731
    with ThreadPoolExecutor(at_once) as pool:
        started_at = time.perf_counter()
        list(pool.map(call, enumerate(pods)))
        return len(pods) / (time.perf_counter() - started_at)


def report(results: Mapping[str, Measured], at_once: int) -> list[Figure]:
    """Print a table; the figures, ours to theirs."""
    print(f"{'':28}{'ADD p50':>9}{'p99':>8}{'DEL p50':>9}{'p99':>8}", end="")
    print(f"{f'ADD/s at {at_once}':>14}{f'DEL/s at {at_once}':>14}")
    for name, measured in results.items():
        times = [measured.p50("ADD"), measured.p99("ADD"), measured.p50("DEL"), measured.p99("DEL")]
        print(f"{name:28}{times[0]:9.2f}{times[1]:8.2f}{times[2]:9.2f}{times[3]:8.2f}", end="")
        print(f"{measured.rate('ADD'):14.0f}{measured.rate('DEL'):14.0f}")
    ours, theirs = results.values()
    found = {
        "add_p50": ("ADD p50", "ms", ours.p50("ADD"), theirs.p50("ADD")),
        "del_p50": ("DEL p50", "ms", ours.p50("DEL"), theirs.p50("DEL")),
        "add_rate": (f"ADD at {at_once} at once", "/s", ours.rate("ADD"), theirs.rate("ADD")),
        "del_rate": (f"DEL at {at_once} at once", "/s", ours.rate("DEL"), theirs.rate("DEL")),
    }
    ratios = {name: round(mine / other, 2) for name, (_, _, mine, other) in found.items()}
    print("ratios, ours to theirs:", json.dumps(ratios))
    return [
        Figure("cni", what, unit, mine, "ptp + host-local", other, TARGETS.get(name))
        for name, (what, unit, mine, other) in found.items()
    ]


def contenders_of(node: CniNode, directory: Path) -> tuple[Contender, Contender]:
    """Ours and the reference plugins on this node."""
    ours, theirs = directory / "ours.json", directory / "theirs.json"
    ours.write_bytes(configuration())
    ipam = {
        "type": "host-local",
        "subnet": "10.99.0.0/16",
        "dataDir": str(directory / "host-local"),
    }
    theirs.write_bytes(configuration(type="ptp", ipam=ipam))
    return (
        Contender(
            "felix-py",
            node.plugin.executable,
            ours,
            {"FELIX_PY_CNI_SOCKET": str(node.plugin.socket)},
        ),
        Contender(
            "ptp+host-local",
            REFERENCE_PLUGINS / "ptp",
            theirs,
            {"CNI_PATH": str(REFERENCE_PLUGINS)},
        ),
    )


def main() -> None:
    """Build the node, measure, print, clean up."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--pods", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--at-once", type=int, default=16)
    parser.add_argument("--disk", action="store_true", help="keep files on disk, not in memory")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=None if options.disk else "/dev/shm") as name:
        directory = Path(name)
        shim = compile_shim(directory, "-Os", "-static", "-s")
        (directory / "node").mkdir()
        with CniNode(directory / "node", shim) as node:
            pods = [node.pod() for _ in range(options.pods)]
            contenders = contenders_of(node, directory)
            measure(contenders, pods[:4], 1, 4)
            results = measure(contenders, pods, options.rounds, options.at_once)
            emit(report(results, options.at_once))


if __name__ == "__main__":
    main()
