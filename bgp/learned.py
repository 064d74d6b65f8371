"""The decisions on learned routes, kept up to date prefix by prefix as paths and terms change."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from bgp.calc.judge import Judge
from bgp.calc.learned_routes import Decision, Refusal
from bgp.calc.terms import Policy, Rank, Terms, build, limit_rank, rank, with_blocks
from bgp.model import IPAddress, IPNetwork
from bgp.rib_in import RibIn
from bgp.state import Dirty, Snapshot

NextHops = tuple[IPAddress, ...]

EXAMPLES = 5
"""How many refused prefixes of each reason are named."""


class Learned:
    """What becomes of each prefix that peers announced. One thread owns it."""

    def __init__(self, rib: RibIn, policy: Policy) -> None:
        self._rib = rib
        self._policy = policy
        self._terms: Terms | None = None
        self._limits: dict[IPAddress, Rank] = {}
        self._next_hops: dict[IPNetwork, NextHops] = {}
        self._refused: dict[IPNetwork, tuple[tuple[IPAddress, Refusal], ...]] = {}

    @property
    def next_hops(self) -> Mapping[IPNetwork, NextHops]:
        """Prefix -> BGP next hops, of every prefix that is to have a route."""
        return self._next_hops

    def update(
        self,
        snapshot: Snapshot,
        dirty: Dirty,
        host_addresses: Iterable[IPAddress],
    ) -> dict[IPNetwork, NextHops]:
        """Decide what is dirty; prefixes whose next hops changed, () for those that lose theirs."""
        prefixes = self._rib.take_dirty()
        if prefixes or dirty.everything_learned:
            self._count(prefixes)
        if dirty.everything_learned or self._terms is None:
            self._terms = build(snapshot, host_addresses, self._policy, self._limits)
            prefixes = dict.fromkeys([*self._rib.prefixes(), *self._next_hops, *self._refused])
        elif dirty.own_blocks:
            self._terms = with_blocks(self._terms, snapshot.blocks)
            prefixes.update(self._inside(dirty.own_blocks))
        if dirty.owners and not dirty.everything_learned:
            prefixes.update(self._moved(dirty.owners, self._terms))
        return self._decide(prefixes, self._terms)

    def felixs(self, prefixes: Iterable[IPNetwork]) -> set[IPNetwork]:
        """Those where felix has, or is about to have, a route, so that ours may yield to it."""
        terms = self._terms
        if terms is None or not _felix_may_write(terms):
            return set()
        return {prefix for prefix in prefixes if _is_felixs(prefix, terms)}

    def refusals(self) -> tuple[dict[Refusal, int], dict[Refusal, list[str]]]:
        """How many paths are refused for which reason, and a few of them by name."""
        counts: Counter[Refusal] = Counter()
        examples: dict[Refusal, list[str]] = {}
        for prefix, refused in self._refused.items():
            for peer, reason in refused:
                counts[reason] += 1
                named = examples.setdefault(reason, [])
                if len(named) < EXAMPLES:
                    named.append(f"{prefix} from {peer}")
        return dict(counts), examples

    def decision(self, prefix: IPNetwork) -> Decision:
        """What became of a prefix; nothing of one that nobody announces."""
        return Decision(self._next_hops.get(prefix, ()), self._refused.get(prefix, ()))

    def over_limit(self) -> Iterable[IPAddress]:
        """Peers that announce more than their prefix limit."""
        return self._limits.keys()

    def _decide(self, prefixes: Iterable[IPNetwork], terms: Terms) -> dict[IPNetwork, NextHops]:
        changed: dict[IPNetwork, NextHops] = {}
        candidates, known, refused = self._rib.candidates, self._next_hops, self._refused
        decide = Judge(terms).decide
        for prefix in prefixes:
            decision = decide(prefix, candidates(prefix))
            next_hops = decision.next_hops
            if known.get(prefix, ()) != next_hops:
                changed[prefix] = next_hops
                if next_hops:
                    known[prefix] = next_hops
                else:
                    del known[prefix]
            if decision.refused:
                refused[prefix] = decision.refused
            elif refused:
                refused.pop(prefix, None)
        return changed

    def _count(self, prefixes: dict[IPNetwork, None]) -> None:
        """Where the prefix limits cut now; what lies between an old and a new cut is dirty."""
        for address, peer in self._rib.peers().items():
            before = self._limits.get(address)
            if len(peer.paths) <= peer.peering.max_prefixes and before is None:
                continue
            now = limit_rank(peer.paths, peer.peering.max_prefixes)
            if now == before:
                continue
            if now is None:
                del self._limits[address]
            else:
                self._limits[address] = now
            cuts = [cut for cut in (before, now) if cut is not None]
            low = min(cuts) if len(cuts) == 2 else cuts[0]
            prefixes.update(dict.fromkeys(p for p in peer.paths if rank(p) >= low))

    def _moved(self, prefixes: Iterable[IPNetwork], terms: Terms) -> dict[IPNetwork, None]:
        """What may be felix's now, or BGP's again, because a prefix has another node."""
        if not _felix_may_write(terms):
            return {}
        known = {
            prefix: None
            for prefix in prefixes
            if prefix in self._next_hops or prefix in self._refused
        }
        blocks = [prefix for prefix in prefixes if prefix.prefixlen < prefix.max_prefixlen]
        return known | self._inside(blocks)

    def _inside(self, blocks: Iterable[IPNetwork]) -> dict[IPNetwork, None]:
        """Single addresses of these blocks that some peer announces, or that have a decision."""
        candidates = self._rib.candidates
        return {
            address: None
            for block in blocks
            for address in block.subnets(new_prefix=block.max_prefixlen)
            if address in self._next_hops or candidates(address)
        }


def _felix_may_write(terms: Terms) -> bool:
    """Whether there is any pool in which a route may be felix's."""
    pools = [range_.pool for each in terms.ranges.values() for range_ in each]
    return any(pool is not None and terms.felix.concerns(pool) for pool in pools)


def _is_felixs(prefix: IPNetwork, terms: Terms) -> bool:
    where = terms.range_of(prefix.version, int(prefix.network_address), prefix.prefixlen)
    pool = None if where is None else where.pool
    return pool is not None and terms.felix.writes(prefix, pool)
