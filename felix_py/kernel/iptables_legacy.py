"""iptables' older form, which nft does not see: the adapter. Its own tables pass every packet, too."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from felix_py.kernel.nft_command import NftAway, NftRefused
from felix_py.kernel.nft_model import ChainRule
from felix_py.kernel.rule_reading import read_listing

COMMANDS = {4: "iptables-legacy", 6: "ip6tables-legacy"}
NAMES = {
    4: Path("/proc/thread-self/net/ip_tables_names"),
    6: Path("/proc/thread-self/net/ip6_tables_names"),
}
"""The tables that exist. Asking iptables itself would make them, so this is asked first."""
LOCK_SECONDS = 2
"""How long to wait for another iptables at work (/run/xtables.lock)."""
SECONDS = 10.0
FORWARD = "FORWARD"


class IptablesLegacy:
    """Runs `iptables-legacy` and its brother for IPv6 in the caller's network namespace."""

    def in_use(self, version: int) -> bool:
        """Whether the filter table exists at all."""
        try:
            return "filter" in NAMES[version].read_text("ascii").split()
        except OSError:
            return False

    def forward(self, version: int) -> tuple[str, dict[str, list[ChainRule]]]:
        """FORWARD's policy, and every chain's rules. Raises NftRefused, NftAway."""
        policies, rules = read_listing(self._run(version, "-S"))
        return policies.get(FORWARD, "accept"), rules

    def insert(self, version: int, before: int | None, rule: Sequence[str]) -> None:
        """One rule before the one of that number, or at the end. Raises NftRefused, NftAway."""
        where = ["-A", FORWARD] if before is None else ["-I", FORWARD, str(before)]
        self._run(version, *where, *rule)

    def delete(self, version: int, number: int) -> None:
        """The rule of that number. Raises NftRefused, NftAway."""
        self._run(version, "-D", FORWARD, str(number))

    def _run(self, version: int, *arguments: str) -> str:
        argv = [COMMANDS[version], "-w", str(LOCK_SECONDS), *arguments]
        try:
            done = subprocess.run(
                argv,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise NftAway(f"{argv[0]} was ended after {SECONDS:g} s") from error
        except OSError as error:
            raise NftAway(f"{argv[0]} cannot be run ({error.strerror})") from error
        if done.returncode:
            raise NftRefused(f"{argv[0]}: {done.stderr.strip()}")
        return done.stdout
