"""Many requests decided as one transaction: one refusal, or one too many, disturbs no other. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from felix_py.datastore.keys import BlockKey, HandleKey, Key, ResourceKey
from felix_py.datastore.model import Handle, HandleId, Kind
from felix_py.runtime.errors import FelixPyError
from ipam.choose import Moment
from ipam.decide import assign, release
from ipam.draft import Draft, MissingFacts
from ipam.errors import BadRequest
from ipam.requests import AssignRequest, Lease, Released, ReleaseRequest
from ipam.seen import ABSENT
from ipam.view import View
from ipam.watched import CONFIG

MAX_KEYS = 124
"""Keys that a batch compares or writes. etcd takes 128 compares and 128 operations; the session and
the reservations need room beside. What does not fit waits for the next transaction."""

MAX_BYTES = 1 << 20
"""What a batch writes, estimated. etcd refuses a request of over 1.5 MiB, and then all of the batch
would be refused for one. A single request may be longer: etcd says whether it takes it."""


class Asking(Protocol):
    """Somebody who waits for a request's answer."""

    @property
    def request(self) -> AssignRequest | ReleaseRequest:
        """What is asked."""
        ...


A = TypeVar("A", bound=Asking)


@dataclass(slots=True)
class Batch(Generic[A]):
    """A transaction to be, who gets which answer when it commits, and who waits for the next."""

    draft: Draft
    answers: list[tuple[A, Lease | Released]] = field(default_factory=list)
    refused: list[tuple[A, FelixPyError]] = field(default_factory=list)
    left: list[A] = field(default_factory=list)
    missing: list[MissingFacts] = field(default_factory=list)
    """Not empty: read these and decide the whole batch again."""

    @property
    def asked(self) -> list[A]:
        """Everybody whose answer depends on this transaction."""
        return [each for each, _ in self.answers] + [each for each, _ in self.refused]


def decide(view: View, asking: Sequence[A], moment: Moment) -> Batch[A]:
    """Decide requests in their order, each on what those before it leave."""
    batch = Batch[A](Draft(view))
    for index, each in enumerate(asking):
        child = batch.draft.child()
        try:
            answer = _decide_one(child, each.request, moment)
        except MissingFacts as missing:
            batch.missing.append(missing)
            continue
        except FelixPyError as error:
            _refuse(batch, view, each, error)
            continue
        except Exception as error:  # noqa: BLE001  the boundary of one request: it renders its endpoint
            batch.refused.append((each, BadRequest(f"the request cannot be decided: {error!r}")))
            continue
        if len(child.keys) > MAX_KEYS and not batch.answers:
            batch.refused.append((each, _too_large(len(child.keys))))
            continue
        if batch.answers and (len(child.keys) > MAX_KEYS or child.size_bytes > MAX_BYTES):
            batch.left += asking[index:]
            break
        child.keep()
        batch.answers.append((each, answer))
    return batch


def _refuse(batch: Batch[A], view: View, each: A, error: FelixPyError) -> None:
    """Refuse only on what was read in this round: a handle may be used by several nodes, and what it
    holds is not refused. No transaction compares what a refusal rests on."""
    if isinstance(error, BadRequest):
        batch.refused.append((each, error))
        return
    stale = _not_fresh(view, each.request.handle_id)
    if CONFIG not in view.fresh and not batch.missing:
        stale += _watched(view)
    if stale:
        batch.missing.append(MissingFacts(*stale))
    else:
        batch.refused.append((each, error))


def _watched(view: View) -> list[Key]:
    """What limits who gets what. The watch may lag; of a reservation that came and went while it was
    broken it never tells, though a lost race did."""
    kinds = {Kind.IP_POOL, Kind.IP_RESERVATION, Kind.NODE}
    known = [key for key in view.facts if isinstance(key, ResourceKey) and key.kind in kinds]
    return [CONFIG, *known]


def _not_fresh(view: View, handle_id: HandleId) -> list[Key]:
    """The handle, or blocks that it names, if they are only remembered or assumed."""
    key = HandleKey(handle_id)
    if key not in view.fresh:
        return [key]
    fact = view.get(key) or ABSENT
    named = fact.value.blocks if isinstance(fact.value, Handle) else {}
    return [found for cidr in named if (found := BlockKey(cidr)) not in view.fresh]


def _decide_one(
    draft: Draft, request: AssignRequest | ReleaseRequest, moment: Moment
) -> Lease | Released:
    if isinstance(request, AssignRequest):
        return assign(draft, request, moment)
    return release(draft, request)


def _too_large(keys: int) -> BadRequest:
    return BadRequest(f"one request touches {keys} keys, more than one transaction of {MAX_KEYS}")
