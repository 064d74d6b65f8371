"""Runs every benchmark and keeps what they found.

    sudo python -m bench [--only NAME ...] [--kind full]

Prints one table and writes bench/results/<date>-<kind>.json and .md. The exit status is 1 when a
benchmark failed; a missed target is said in the table and is no failure, because hosts are shared.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from bench import host
from bench.figures import FILE_VARIABLE, Figure, encoded, read, table

HERE = Path(__file__).parent
RESULTS = HERE / "results"
NAMES = (
    "routes",
    "veth",
    "cni",
    "endpoint_route",
    "scale",
    "plan",
    "ipam",
    "audit",
    "throughput",
    "ipip",
    "bgp_learn",
    "memory",
    "lab_up",
    "edits",
)
"""In the order in which they run: the quick ones first."""
MOST_SECONDS = 900.0
"""A benchmark that takes longer is ended and counts as failed."""
PRINTED = re.compile(r"(.+?):\s+felix-py\s+([0-9.]+) s\s+(\S+)\s+([0-9.]+) s\b")
"""`learn 10000 routes: felix-py 1.23 s   BIRD 0.98 s`"""


class Result(msgspec.Struct, frozen=True):
    """A run."""

    at: str
    host: host.Host
    seconds: dict[str, float]
    failed: list[str]
    figures: list[Figure]


def run_one(name: str, file: Path) -> bool:
    """One benchmark as a process of its own; its output is shown at its end. Whether it ended well."""
    environment = {**os.environ, FILE_VARIABLE: str(file)}
    argv = [sys.executable, "-m", f"bench.{name}"]
    try:
        done = subprocess.run(
            argv,
            env=environment,
            cwd=HERE.parent,
            check=False,
            timeout=MOST_SECONDS,
            stdout=subprocess.PIPE,
            text=True,
        )
    except subprocess.TimeoutExpired:
        print(f"{name}: did not end within {MOST_SECONDS:g} s", flush=True)
        return False
    print(done.stdout, end="", flush=True)
    if not any(figure.benchmark == name for figure in read(file)):
        with file.open("ab") as output:
            output.writelines(map(encoded, printed(name, done.stdout)))
    return done.returncode == 0


def printed(benchmark: str, output: str) -> list[Figure]:
    """The figures of a benchmark that only prints them."""
    return [
        Figure(
            benchmark,
            " ".join(found[1].split()),
            "s",
            float(found[2]),
            found[3].strip(),
            float(found[4]),
        )
        for found in map(PRINTED.match, output.splitlines())
        if found is not None
    ]


def run(names: Sequence[str]) -> Result:
    """All of them, one after the other."""
    at, here = datetime.now(UTC), host.describe()
    seconds: dict[str, float] = {}
    failed: list[str] = []
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "figures"
        for name in names:
            print(f"\n== {name}", flush=True)
            started_at = time.monotonic()
            if not run_one(name, file):
                failed.append(name)
            seconds[name] = round(time.monotonic() - started_at, 1)
        return Result(f"{at:%Y-%m-%dT%H:%M:%SZ}", here, seconds, failed, read(file))


def text(result: Result) -> str:
    """The result for people."""
    on = result.host
    lines = [
        f"# {result.at}",
        "",
        f"{on.cores} cores of {on.cpu}, {on.memory_gb:g} GB, Linux {on.kernel}, load {on.load:g}.",
        "",
        *table(result.figures),
    ]
    missed = [f"{each.benchmark}: {each.what}" for each in result.figures if each.met is False]
    if missed:
        lines += ["", f"Missed: {'; '.join(missed)}."]
    if result.failed:
        lines += ["", f"Failed: {', '.join(result.failed)}."]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Run, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=NAMES, default=NAMES, metavar="NAME")
    parser.add_argument("--kind", default="full", help="part of the results' file names")
    options = parser.parse_args()
    result = run(options.only)
    shown = text(result)
    print("\n" + shown)
    RESULTS.mkdir(exist_ok=True)
    stem = RESULTS / f"{result.at[:10]}-{options.kind}"
    document = msgspec.json.format(msgspec.json.encode(result), indent=2)
    stem.with_suffix(".json").write_bytes(document + b"\n")
    stem.with_suffix(".md").write_text(shown, "utf-8")
    print(f"written: {stem}.json and .md")
    return 1 if result.failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
