"""Pod to pod through IPIP against the same pods without a tunnel, in a virtual machine that has ipip.

    sudo python -m bench.ipip

The machine is emulated: its figures are far below any real host's, and only the ratio is kept.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from statistics import median

from bench.figures import Figure, emit, table
from tests.vm import virtual_machine
from tests.vm.guest.throughput import FILE

MOST_SECONDS = 880.0


def main() -> None:
    """Boot, measure, print."""
    with tempfile.TemporaryDirectory(prefix="felix-py-bench-") as directory:
        results = Path(directory)
        argv = [sys.executable, "-m", "tests.vm.guest.throughput", directory]
        status = virtual_machine.run(argv, results, timeout_seconds=MOST_SECONDS)
        if status:
            said = (results / "output").read_text("utf-8", errors="replace")
            raise SystemExit(f"the machine's program ended with {status}:\n{said[-3000:]}")
        found = json.loads((results / FILE).read_text("ascii"))
    tunnel, direct = median(found["IPIP"]), median(found["direct"])
    name = "ratio of TCP, pod to pod across subnets, IPIP (emulated)"
    result = [Figure("ipip", name, "of direct", tunnel / direct, "direct", 1.0)]
    print("\n".join(table(result)))
    emit(result)


if __name__ == "__main__":
    main()
