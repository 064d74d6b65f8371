"""Pure: the decisions on thousands of prefixes for one set of terms, each kind of them made once.

What an UPDATE announces differs by prefix alone. Where a prefix is heard from one peer and lies in none of
our own blocks, its decision follows from that peer, the path, and the range that the prefix lies in; unless
that is a pool in which felix may have routes too: there it depends on who has the prefix.
"""

from __future__ import annotations

from collections.abc import Sequence

from bgp.calc.best_path import Candidate
from bgp.calc.learned_routes import Decision, decide
from bgp.calc.terms import Terms
from bgp.model import IPNetwork

NOTHING = Decision()
"""Nobody announces it."""


class Judge:
    """Gives what `decide` gives. Remembers, by identity, what it has decided: use it for one batch."""

    def __init__(self, terms: Terms) -> None:
        self._terms = terms
        self._known: dict[tuple[int, int, int, int], tuple[Decision, Candidate]] = {}

    def decide(self, prefix: IPNetwork, candidates: Sequence[Candidate]) -> Decision:
        """The decision for one prefix."""
        if not candidates:
            return NOTHING
        terms, length = self._terms, prefix.prefixlen
        if len(candidates) != 1 or not length or terms.limits:
            return decide(prefix, candidates, terms)
        version, first = prefix.version, int(prefix.network_address)
        if terms.own_block(version, first, length) is not None:
            return decide(prefix, candidates, terms)
        [candidate] = candidates
        peering, path = candidate
        where = terms.range_of(version, first, length)
        kind = (id(peering), id(path), id(where), version)
        known = self._known.get(kind)
        if known is not None:
            return known[0]
        decision = decide(prefix, candidates, terms)
        if where is None or where.pool is None or not terms.felix.concerns(where.pool):
            # with the candidate, so that nobody else gets its identity
            self._known[kind] = (decision, candidate)
        return decision
