"""Writing what was planned: shown, agreed to, and compared with all that the plan was made of."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from felix_py.ctl import plan_view
from felix_py.ctl.calc.plan_cluster import PLANNED
from felix_py.ctl.change import Change, difference
from felix_py.ctl.documents import Document
from felix_py.ctl.errors import CommandError, Conflict
from felix_py.ctl.plan import Plan, plan_change, plan_deletions, plan_writes
from felix_py.datastore.keys import ResourceKey
from felix_py.datastore.store import ModRevisionIs, Store, Transaction

AT_ONCE = 50
"""Objects written in one transaction; more go in several, each compared with what came before."""


MAX_ATTEMPTS = 10
PAUSE_SECONDS = 0.1
"""Plans that lose their race, and how much longer each next one waits: nodes that all start at once
write their objects for a few seconds. Then the user is told."""


class NotAgreed(CommandError):
    """Something would be lost, or somebody said no: nothing was written. Exit status 2."""


@dataclass(frozen=True, slots=True)
class Consent:
    """Who agrees. yes: everything is agreed to; ask: a question to whoever sits there, None: nobody."""

    yes: bool = False
    ask: Callable[[str], bool] | None = None

    def give(self, plan: Plan, question: str = "Apply this?") -> None:
        """Returns when the plan may be carried out. Raises NotAgreed."""
        if not plan.matters:
            return
        if self.yes or self.ask is not None or plan.loses:
            plan_view.show(plan, sys.stderr)
        if self.yes:
            return
        if self.ask is None:
            if plan.loses:
                raise NotAgreed("nothing was written: something would be lost; add --yes to do it")
        elif not self.ask(question):
            raise NotAgreed("nothing was written")


def apply(
    store: Store,
    documents: Sequence[Document],
    consent: Consent,
    show: Callable[[str], None] | None = None,
) -> dict[ResourceKey, str]:
    """Plan, agree and write; what was done to each object, for people. show: is given what differs.

    Loses a race: planned anew, and written when the effects are those that were agreed to; else it is
    to be agreed to again, by somebody who sees it. Raises NotAgreed, Conflict, CommandError.
    """
    agreed: Plan | None = None
    for attempt in range(MAX_ATTEMPTS):
        time.sleep(attempt * PAUSE_SECONDS)
        plan = plan_writes(store, documents)
        if agreed is None or agreed.gist != plan.gist:
            if agreed is not None and consent.yes:
                plan_view.show(plan, sys.stderr)
                raise Conflict(
                    "others changed the cluster meanwhile, and what would happen is another thing "
                    "now; nothing was written"
                )
            consent.give(plan)
            agreed = plan
        if _carry_out(store, plan):
            return {each.key: _told(each, show) for each in plan.changes}
    raise Conflict(f"others changed the cluster {MAX_ATTEMPTS} times meanwhile; try again")


class Agreement:
    """Agreeing to changes one by one, as a Writer asks for it; asked again only for other effects."""

    def __init__(self, store: Store, consent: Consent) -> None:
        self._store = store
        self._consent = consent
        self._agreed: dict[ResourceKey, object] = {}

    def __call__(self, change: Change) -> Change:
        """The change with what it was planned on. Raises NotAgreed."""
        if change.key.kind not in PLANNED:
            return change
        plan = plan_change(self._store, change)
        if self._agreed.get(change.key) != plan.gist:
            self._consent.give(plan, "Write this?")
        self._agreed[change.key] = plan.gist
        seen = plan.seen.compares(plan.seen.revision, frozenset({change.key.path}))
        return replace(change, room=(*change.room, *seen))


def agree_to_deletion(store: Store, key: ResourceKey, title: str, consent: Consent) -> None:
    """Returns when an object may be deleted. Raises NotAgreed."""
    if key.kind in PLANNED:
        consent.give(plan_deletions(store, [(key, title)]), "Delete this?")


def _told(change: Change, show: Callable[[str], None] | None) -> str:
    if change.unchanged:
        return f"{change.title} unchanged"
    if show is not None:
        before = None if change.before is None else change.before.value
        show(difference(change.key, before, change.after))
    return f"{change.title} {change.done}"


def _carry_out(store: Store, plan: Plan) -> bool:
    """Whether all was written; False: nothing was. Raises Conflict when only some of it was."""
    wanted = [each for each in plan.changes if not each.unchanged]
    written = frozenset(each.key.path for each in wanted)
    since = plan.seen.revision
    for start in range(0, len(wanted), AT_ONCE):
        part = wanted[start : start + AT_ONCE]
        compares = (*plan.seen.compares(since, written), *map(_as_planned, part))
        outcome = store.transact(Transaction(compares, tuple(each.write for each in part)))
        if not outcome.succeeded and not start:
            return False
        if not outcome.succeeded:
            raise Conflict(
                f"others changed the cluster meanwhile: {start} of {len(wanted)} objects are written, "
                f"{part[0].title} and those after it are not; apply again"
            )
        since = outcome.revision
    return True


def _as_planned(change: Change) -> ModRevisionIs:
    """The object is what the plan saw of it."""
    return ModRevisionIs(
        change.key.path, 0 if change.before is None else change.before.mod_revision
    )
