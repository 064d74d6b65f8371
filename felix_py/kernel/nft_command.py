"""nftables by its own command: the adapter. A script goes in on stdin and is one transaction."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from typing import Any

from felix_py.kernel.nft_model import ChainRule, ForwardChain, TableName
from felix_py.kernel.rule_reading import read_rule
from felix_py.runtime.errors import RefusedError, TransientError

NFT_SECONDS = 20.0
"""A whole table of 6,000 elements takes 0.05 s. A command that takes this long is ended; what it did is
not known then, so the table counts as changed and is written again."""
REASON_CHARACTERS = 400
"""Longest part of nft's complaint that is kept."""
FORWARD_FAMILIES = frozenset({"ip", "ip6", "inet"})


class NftRefused(RefusedError):
    """nft or the kernel said no: nothing of the script was done."""


class NftAway(TransientError):
    """nft is not installed, or did not come to its end: try again later."""


class NftCommand:
    """Runs nft in the caller's network namespace. Keeps nothing."""

    def apply(self, script: str) -> None:
        """Commit a script, all of it or nothing. Raises NftRefused, NftAway."""
        _run(["nft", "-f", "-"], script)

    def tables(self) -> frozenset[TableName]:
        """Every table there is, whoever owns it."""
        entries = _listed(["nft", "-j", "list", "tables"])
        found = [entry["table"] for entry in entries if "table" in entry]
        return frozenset((table["family"], table["name"]) for table in found)

    def table(self, family: str, name: str) -> list[dict[str, Any]] | None:
        """A table's sets, maps, chains and rules as nft's JSON lists them; None: there is none."""
        if (family, name) not in self.tables():
            return None
        return _listed(["nft", "-j", "list", "table", family, name])

    def forward_chains(self) -> tuple[ForwardChain, ...]:
        """Every filter chain at the forward hook of IPv4 and IPv6, whoever owns it."""
        entries = _listed(["nft", "-j", "list", "chains"])
        chains = [entry["chain"] for entry in entries if "chain" in entry]
        return tuple(
            ForwardChain(
                chain["family"], chain["table"], chain["name"], chain.get("policy", "accept")
            )
            for chain in chains
            if chain.get("hook") == "forward"
            and chain.get("type") == "filter"
            and chain["family"] in FORWARD_FAMILIES
        )

    def rules(self, chain: ForwardChain, name: str) -> tuple[ChainRule, ...]:
        """The rules, in order, of the chain of that name in the table of this one."""
        entries = _listed(["nft", "-j", "list", "chain", chain.family, chain.table, name])
        return tuple(read_rule(entry["rule"]) for entry in entries if "rule" in entry)


def _listed(argv: Sequence[str]) -> list[dict[str, Any]]:
    text = _run(argv, "")
    try:
        found = json.loads(text or "{}").get("nftables", [])
    except (ValueError, AttributeError) as error:
        raise NftAway(f"{' '.join(argv)}: no JSON came back") from error
    return [entry for entry in found if isinstance(entry, dict)]


def _run(argv: Sequence[str], script: str) -> str:
    try:
        done = subprocess.run(
            argv, input=script, capture_output=True, text=True, timeout=NFT_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise NftAway(f"nft was ended after {NFT_SECONDS:g} s") from error
    except OSError as error:
        raise NftAway(
            f"nft cannot be run ({error.strerror}): install the package nftables"
        ) from error
    if done.returncode:
        raise NftRefused(f"nft: {_complaint(done.stderr)}")
    return done.stdout


def _complaint(text: str) -> str:
    """The lines that say what is wrong, without the script that nft repeats."""
    lines = [line.strip() for line in text.splitlines() if "rror" in line]
    return "; ".join(lines or [text.strip() or "no reason given"])[:REASON_CHARACTERS]
