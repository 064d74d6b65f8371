"""IPIP on a kernel that has it: three nodes on two subnets, in a virtual machine, with our daemons.

One boot serves all tests; each reads one verdict of tests/vm/guest/scenario.py.
"""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass

import pytest

from tests.vm import virtual_machine
from tests.vm.guest import verdicts

pytestmark = [pytest.mark.vm, pytest.mark.root, pytest.mark.timeout(2500)]

MACHINE_SECONDS = 2400.0
"""Two to four minutes on a quiet host; this is for a busy one."""


@dataclass(frozen=True)
class Outcome:
    """What the machine left: its program's status, the verdicts, and the end of its output."""

    status: int
    found: dict[str, list[str]]
    said: str

    def check(self, name: str) -> None:
        """The verdict is there and names nothing wrong."""
        assert name in self.found, f"never came to it; the program said:\n{self.said}"
        assert self.found[name] == [], f"{self.found[name]}\n{self.said}"


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """One run of the whole scenario."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    if shutil.which("qemu-system-x86_64") is None:
        pytest.skip("qemu-system-x86_64 is not installed; run `make setup`")
    results = tmp_path_factory.mktemp("vm")
    argv = [sys.executable, "-m", "tests.vm.guest.scenario", str(results)]
    status = virtual_machine.run(argv, results, timeout_seconds=MACHINE_SECONDS)
    said = (results / "output").read_text("utf-8", errors="replace")[-2000:]
    return Outcome(status, verdicts.load(results), said)


def test_across_subnets_it_is_protocol_4_and_inside_one_it_is_not(outcome: Outcome) -> None:
    outcome.check("CrossSubnet: routes")
    outcome.check("CrossSubnet: packets")
    outcome.check("CrossSubnet: nothing lost")


def test_a_planted_packet_of_protocol_4_is_caught(outcome: Outcome) -> None:
    """The control of every check that says where protocol 4 is."""
    outcome.check("control: planted protocol 4 is caught")


def test_a_strangers_protocol_4_reaches_no_pod(outcome: Outcome) -> None:
    outcome.check("a stranger's protocol 4 is dropped")
    outcome.check("control: a node's own is received")


def test_a_damaged_tunl0_is_put_right(outcome: Outcome) -> None:
    outcome.check("tunl0 is put right")


@pytest.mark.parametrize("mode", ["Always", "Never", "CrossSubnet"])
def test_after_a_live_change_packets_travel_as_the_new_mode_says(
    outcome: Outcome, mode: str
) -> None:
    outcome.check(f"{mode}: routes")
    outcome.check(f"{mode}, live: packets")


def test_changes_of_mode_under_ping_lose_nothing(outcome: Outcome) -> None:
    outcome.check("changes of mode lose nothing")


def test_the_program_in_the_machine_came_to_its_end(outcome: Outcome) -> None:
    assert outcome.status == 0, outcome.said
