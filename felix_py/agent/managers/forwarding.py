"""Others' forward chains that drop by default: our marked accept rules stand in them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import structlog

from felix_py.agent.calc.forwarding import Admission, admission
from felix_py.kernel.iptables_legacy import FORWARD, IptablesLegacy
from felix_py.kernel.nft_command import NftAway, NftCommand, NftRefused
from felix_py.kernel.nft_model import ChainRule, ForwardChain, NftNews
from felix_py.kernel.ownership import LINK_PREFIX, NFT_TABLE
from felix_py.kernel.rule_reading import IN
from felix_py.runtime.schedule import Interval

log = structlog.get_logger(__name__)

LOOK_SECONDS = 0.3
"""Chains are listed at most this often, however busy others are with their rules."""
LEGACY_SECONDS = 2.0
"""iptables' older tables announce no change: they are looked at this often where they exist."""


class Forwarding:
    """Looks when netlink told of changed rules, and puts our rules where they are missing.

    Things that this class is shaped by:
    - Docker sets FORWARD's policy to drop, firewalls end the chain with a drop or reject; both write
      their chains anew now and then, and ours with them;
    - there are two iptables, and a host may have rules in both;
    - a table may have an owner process that lets nobody else write: that is named, not fought.
    """

    def __init__(self, nft: NftCommand, legacy: IptablesLegacy) -> None:
        self._nft, self._legacy = nft, legacy
        self._changed = True
        self._look = Interval(LOOK_SECONDS)
        self._legacy_look = Interval(LEGACY_SECONDS)
        self._by_nft: dict[str, str] = {}
        self._by_legacy: dict[str, str] = {}

    @property
    def chains(self) -> dict[str, str]:
        """The chains that drop by default: `admitted`, or why not, by their names."""
        return dict(sorted({**self._by_nft, **self._by_legacy}.items()))

    def note(self, news: NftNews) -> None:
        """Somebody's rules may be others now."""
        if news.lost or any(
            name != NFT_TABLE for each in news.transactions for _, name in each.rules_in
        ):
            self._changed = True

    def apply(self, now: float) -> bool:
        """Put right what is due; False: look again soon, something is wrong or waits for its turn."""
        if self._legacy_look.due(now):
            self._by_legacy = {}
            for version in (4, 6):
                if self._legacy.in_use(version):
                    self._settle_legacy(version)
        if self._changed and self._look.due(now):
            self._changed = not self._settle_nft()
        return not self._changed

    def warnings(self) -> list[str]:
        """The chains that our rules are kept out of."""
        return [
            f"forward chain {name!r} drops by default and felix cannot admit pods there: {why}; "
            f"accept what comes from and goes to {LINK_PREFIX}* in it"
            for name, why in self.chains.items()
            if why != ADMITTED
        ]

    def _settle_nft(self) -> bool:
        try:
            chains = self._nft.forward_chains()
        except (NftRefused, NftAway) as error:
            log.warning("forward chains cannot be listed", reason=str(error))
            return False
        found: dict[str, str] = {}
        for chain in chains:
            if chain.table != NFT_TABLE:
                outcome = self._settle_chain(chain)
                if outcome:
                    found[str(chain)] = outcome
        self._by_nft = found
        return True

    def _settle_chain(self, chain: ForwardChain) -> str:
        """ADMITTED, why not, or nothing for a chain that drops nobody by default."""
        rules_of = cache(lambda name: self._nft.rules(chain, name))
        try:
            wanted = admission(chain.policy, self._nft.rules(chain, chain.name), rules_of)
            if wanted.needed:
                self._nft.apply(_script(chain, wanted))
                log.info("forward chain settled", chain=str(chain), blocks=wanted.blocks)
        except (NftRefused, NftAway) as error:
            return str(error)
        return ADMITTED if wanted.blocks else ""

    def _settle_legacy(self, version: int) -> None:
        name = f"{'ip' if version == 4 else 'ip6'}tables-legacy {FORWARD}"
        try:
            policy, chains = self._legacy.forward(version)
            rules: Sequence[ChainRule] = chains.get(FORWARD, [])
            wanted = admission(policy, rules, lambda target: chains.get(target, []))
            for number in wanted.delete:
                self._legacy.delete(version, number)
            gone = sum(1 for each in wanted.delete if wanted.before and each < wanted.before)
            before = None if wanted.before is None else wanted.before - gone
            for direction in wanted.add:
                flag = "-i" if direction == IN else "-o"
                mark = ("-m", "comment", "--comment", NFT_TABLE)
                self._legacy.insert(
                    version, before, (flag, f"{LINK_PREFIX}+", *mark, "-j", "ACCEPT")
                )
            if wanted.needed:
                log.info("forward chain settled", chain=name, blocks=wanted.blocks)
        except (NftRefused, NftAway) as error:
            self._by_legacy[name] = str(error)
            return
        if wanted.blocks:
            self._by_legacy[name] = ADMITTED


ADMITTED = "admitted"


def _script(chain: ForwardChain, wanted: Admission) -> str:
    at = f"{chain.family} {chain.table} {chain.name}"
    lines = [f"delete rule {at} handle {handle}" for handle in wanted.delete]
    for direction in wanted.add:
        key = "iifname" if direction == IN else "oifname"
        rule = f'{key} "{LINK_PREFIX}*" accept comment "{NFT_TABLE}"'
        if wanted.before is None:
            lines.append(f"add rule {at} {rule}")
        else:
            lines.append(f"insert rule {at} handle {wanted.before} {rule}")
    return "".join(f"{line}\n" for line in lines)
