"""Pure: the best of several paths to one prefix, and those as good as the best (RFC 4271, 9.1.2.2).

Left out on purpose: the interior cost to the next hop (the underlay's metrics are not ours to compare).
Added: a shorter CLUSTER_LIST wins (RFC 4456, section 9), so that a node's own word beats a reflector's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bgp.model import Path, Peering

DEFAULT_LOCAL_PREFERENCE = 100
_ORIGINS = {"igp": 0, "egp": 1, "incomplete": 2}

Candidate = tuple[Peering, Path]
_Rank = Callable[[Candidate], tuple[int, ...]]


def best(candidates: Sequence[Candidate], *, multipath: bool) -> tuple[Candidate, ...]:
    """The best candidates in the order of their peers' addresses; just one without multipath."""
    if len(candidates) < 2:
        return tuple(candidates)
    left = _keep_lowest(candidates, _before_med)
    left = _lowest_med_of_each_neighbour(left)
    left = _keep_lowest(left, _after_med)
    left.sort(key=lambda c: (c[0].peer.version, int(c[0].peer)))
    return tuple(left) if multipath else tuple(left[:1])


def _before_med(candidate: Candidate) -> tuple[int, int, int]:
    peering, path = candidate
    preference = path.local_preference
    if preference is None or peering.external:  # RFC 4271, 5.1.5: ignored from external peers
        preference = DEFAULT_LOCAL_PREFERENCE
    return (-preference, len(path.as_path), _ORIGINS.get(path.origin, 2))


def _after_med(candidate: Candidate) -> tuple[bool, int]:
    peering, path = candidate
    return (not peering.external, len(path.cluster_list))


def _keep_lowest(candidates: Sequence[Candidate], rank: _Rank) -> list[Candidate]:
    ranks = [rank(candidate) for candidate in candidates]
    lowest = min(ranks)
    return [c for c, r in zip(candidates, ranks, strict=True) if r == lowest]


def _lowest_med_of_each_neighbour(candidates: Sequence[Candidate]) -> list[Candidate]:
    lowest: dict[int, int] = {}
    for candidate in candidates:
        neighbour, med = _neighbour_and_med(candidate)
        lowest[neighbour] = min(med, lowest.get(neighbour, med))
    return [
        candidate
        for candidate in candidates
        if lowest[_neighbour_and_med(candidate)[0]] == _neighbour_and_med(candidate)[1]
    ]


def _neighbour_and_med(candidate: Candidate) -> tuple[int, int]:
    """A missing MED is the lowest there is (RFC 4271, 9.1.2.2 c)."""
    peering, path = candidate
    return (path.as_path[0] if path.as_path else peering.local_as, path.med or 0)
