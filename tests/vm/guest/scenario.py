"""The program that the virtual machine runs: `python -m tests.vm.guest.scenario RESULTS`.

Its verdicts go into the results directory, with the lab's logs; the tests in test_ipip.py read them.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from tests.support.pinger import Pinger
from tests.vm.guest.capture import capturing
from tests.vm.guest.cluster import DIRECT, NODES, TUNNEL, Cluster, Ways, all_ways
from tests.vm.guest.packets import Packet, Pair, complaints
from tests.vm.guest.verdicts import Verdicts

CROSS, ALWAYS, NEVER = "CrossSubnet", "Always", "Never"
WAYS: Mapping[str, Ways] = {
    CROSS: all_ways(inside=DIRECT, across=TUNNEL),
    ALWAYS: all_ways(inside=TUNNEL, across=TUNNEL),
    NEVER: all_ways(inside=DIRECT, across=DIRECT),
}
PAIRS = (("node-a1", "node-a2"), ("node-a1", "node-b1"), ("node-b1", "node-a2"))
PER_SECOND = 5
LOOK_SECONDS = 3.0
"""How long the captures look at pings in a state that has settled."""
SEND = Path(__file__).with_name("send_protocol4.py")


class Scenario:
    """The cases, in their order: each leaves the cluster as the next one expects it."""

    def __init__(self, results: Path) -> None:
        self.verdicts = Verdicts(results)
        self.captures = Path("/run/captures")
        self.captures.mkdir()
        self.cluster = Cluster(self.verdicts.say)
        self.pairs: list[Pair] = []

    def run(self) -> None:
        """All of them."""
        cluster = self.cluster
        cluster.up()
        self.pairs = [cluster.pair(*names) for names in PAIRS]
        self._settle(CROSS)
        self._steady(CROSS)
        self._control()
        self._strangers()
        self._repair()
        self._live([ALWAYS, NEVER, CROSS])

    def _settle(self, mode: str) -> None:
        """Every pair goes the way of the mode, by the right daemon's route."""
        seen = self.cluster.wait_for(WAYS[mode])
        wrong = [f"{pair}: {way}" for pair, way in seen.items() if way != WAYS[mode][pair]]
        self.verdicts.note(f"{mode}: routes", wrong)

    def _steady(self, mode: str) -> None:
        """Pings in a settled state: protocol 4 where it must be and nowhere else."""
        with capturing(self.cluster.places(), self.captures) as captured:
            streams = self._streams()
            time.sleep(LOOK_SECONDS)
            lost = [str(count) for each in streams if (count := each.stop()).missing]
        self.verdicts.note(f"{mode}: nothing lost", lost)
        self.verdicts.note(f"{mode}: packets", self._judge(mode, captured.packets))

    def _judge(self, mode: str, packets: dict[str, list[Packet]]) -> list[str]:
        tunnelled = frozenset(pair for pair, way in WAYS[mode].items() if way == TUNNEL)
        return complaints(packets, self.pairs, tunnelled)

    def _control(self) -> None:
        """A packet of protocol 4 between two nodes of a rack is planted: the captures' check says so."""
        first, second = NODES[:2]
        pair = self.cluster.pair(first, second)
        with capturing(self.cluster.places(), self.captures) as captured:
            self._send(first, pair.outer, pair.inner)
        said = self._judge(CROSS, captured.packets)
        caught = any("which are direct" in each for each in said)
        self.verdicts.note("control: planted protocol 4 is caught", [] if caught else ["it is not"])

    def _strangers(self) -> None:
        """Protocol 4 from a host that is no node arrives at the node, and its inside at no pod."""
        cluster = self.cluster
        pair = cluster.pair("node-b1", "node-a1")
        pod = {"pod": (cluster.pods["node-a1"].netns, "eth0"), **cluster.places()}
        stranger = cluster.stranger
        with capturing(pod, self.captures) as captured:
            self._send("stranger", (stranger, pair.outer[1]), pair.inner)
        arrived = [each for each in captured.packets["node-a1"] if each.source == stranger]
        wrong = [] if arrived else ["it was not even seen at the node's port"]
        wrong += [f"received: {each}" for each in captured.packets["pod"]]
        self.verdicts.note("a stranger's protocol 4 is dropped", wrong)
        with capturing(pod, self.captures) as captured:
            self._send("node-b1", pair.outer, pair.inner)
        received = any(each.source == pair.inner[0] for each in captured.packets["pod"])
        self.verdicts.note("control: a node's own is received", [] if received else ["it is not"])

    def _send(self, machine: str, outer: tuple[str, str], inner: tuple[str, str]) -> None:
        self.cluster.run(machine, sys.executable, "-I", "-S", str(SEND), *outer, *inner)

    def _repair(self) -> None:
        """tunl0 without its address and down is put right, and pings go on."""
        cluster = self.cluster
        before = cluster.tunnel_state("node-b1")
        cluster.run("node-b1", "ip", "address", "flush", "dev", "tunl0")
        cluster.run("node-b1", "ip", "link", "set", "tunl0", "down")
        deadline = time.monotonic() + 60
        while (after := cluster.tunnel_state("node-b1")) != before and time.monotonic() < deadline:
            time.sleep(0.5)
        wrong = [] if after == before else [f"before {before}, after {after}"]
        self.verdicts.note("tunl0 is put right", wrong)
        self._settle(CROSS)
        self._steady(CROSS)

    def _live(self, modes: list[str]) -> None:
        """From one mode to the next under ping; not one packet is lost."""
        streams = self._streams()
        for mode in modes:
            self.cluster.set_mode(mode)
            self._settle(mode)
            time.sleep(LOOK_SECONDS)
            with capturing(self.cluster.places(), self.captures) as captured:
                time.sleep(LOOK_SECONDS)
            self.verdicts.note(f"{mode}, live: packets", self._judge(mode, captured.packets))
        counts = [each.stop() for each in streams]
        for count in counts:
            self.verdicts.say(str(count))
        lost = [str(count) for count in counts if count.missing or count.sent < PER_SECOND]
        self.verdicts.note("changes of mode lose nothing", lost)

    def _streams(self) -> list[Pinger]:
        return [
            Pinger(self.cluster.pods[pair.nodes[0]].netns, pair.inner[1], per_second=PER_SECOND)
            for pair in self.pairs
        ]


def main() -> int:
    """Run, and keep the logs whatever happens."""
    results = Path(sys.argv[1])
    scenario = Scenario(results)
    try:
        scenario.run()
    finally:
        logs = scenario.cluster.home.directory / "logs"
        if logs.exists():
            shutil.copytree(logs, results / "logs", dirs_exist_ok=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
