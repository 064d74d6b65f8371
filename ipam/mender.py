"""Puts right what an audit found, one transaction each: what changed since it was judged stays as it is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial

from ipam.errors import BadRequest, GaveUp, NotYours, StaleLease
from ipam.findings import Finding
from ipam.mend import Changed, can_mend, mend, quiet
from ipam.office import Office


@dataclass(frozen=True, slots=True)
class Mended:
    """What became of a finding: done or not, in words."""

    finding: Finding
    done: bool
    said: str


def put_right(office: Office, findings: Iterable[Finding], revision: int) -> Iterator[Mended]:
    """Each finding that can be, as it was judged at this revision. Raises StoreAway, StoreRefused."""
    for finding in findings:
        if can_mend(finding):
            yield _one(office, finding, revision)


def _one(office: Office, finding: Finding, revision: int) -> Mended:
    try:
        said = office.attempt(partial(mend, finding=finding), quiet(finding, revision))
    except (Changed, StaleLease, NotYours, BadRequest, GaveUp) as error:
        return Mended(finding, done=False, said=f"left: {error}")
    if said is None:
        return Mended(finding, done=False, said="left: it changed while it was put right")
    return Mended(finding, done=True, said=said)
