"""Audits all of etcd's addresses again and again, one node for all, while pods keep starting.

The one who audits notes it under a key of ours at each look; who sees the note unchanged for some periods
of its own monotonic clock takes over by compare-and-swap. What stood unchanged for the quarantine is put
right: handles, affinities and blocks by who audits; a leaked lease by the node that it names, which alone
sees whether a pod lives with it; the lease of a node that is gone by who audits.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Collection, Mapping, Sequence

import structlog

from felix_py.datastore.errors import RevisionCompacted, StoreAway, StoreRefused, StoreWentBack
from felix_py.datastore.keys import AUDIT, ResourceKey
from felix_py.datastore.model import HandleId, Kind, NodeName
from felix_py.datastore.store import KeyValue, ModRevisionIs, Put, Store, Transaction
from felix_py.runtime.clock import Clock
from felix_py.runtime.errors import TransientError
from ipam.audit import audit
from ipam.audit_report import Aged, Report, decode, encode, shown
from ipam.errors import GaveUp
from ipam.findings import Finding, Problem
from ipam.mend import can_mend
from ipam.mender import put_right
from ipam.office import Office

log = structlog.get_logger(__name__)

TAKEOVER_LOOKS = 3
"""So many looks in a row at an unchanged note, and who audited is taken for gone."""

MOST_MENDS = 50
"""In one look; the rest waits for the next one."""

JITTER = 0.1
LiveHandles = Callable[[], Collection[HandleId]]
"""The handles of everything that is attached on this node. Raises TransientError: ask again."""


class Auditor:
    """One thread's; its status is read by others."""

    name = "audit"

    def __init__(  # noqa: PLR0913  what it looks at, what it may do, and when
        self,
        store: Store,
        node: NodeName,
        clock: Clock,
        living: LiveHandles,
        may_act: Callable[[], bool],
        *,
        period_seconds: float,
        quarantine_seconds: float,
    ) -> None:
        self._store, self._node, self._clock = store, node, clock
        self._living, self._may_act = living, may_act
        self._period, self._quarantine = period_seconds, quarantine_seconds
        self._wait: Callable[[float], object] = lambda _: None
        self._seen, self._unchanged = -1, 0
        self._since: dict[Finding, float] = {}
        self._mended = 0
        self._report = Report()
        self._mine: tuple[str, ...] = ()

    def run(self, stop: threading.Event) -> None:
        """Once per period until told to stop; period 0: wait for the end."""
        if not self._period:
            stop.wait()
        self._wait = stop.wait
        while not stop.wait(self._period * (1 + JITTER * random.random())):
            try:
                self.step()
            except (
                StoreAway, StoreRefused, StoreWentBack, RevisionCompacted, GaveUp, TransientError
            ) as error:  # fmt: skip
                log.warning("addresses not audited", reason=str(error))

    def step(self) -> None:
        """One look, ours at etcd or at what another node found. Raises what the store does, GaveUp."""
        if not self._may_act():
            self._since.clear()
            return
        note = self._store.get(AUDIT)
        said = decode(note.value) if note else None
        stands_at = note.mod_revision if note else 0
        self._unchanged = self._unchanged + 1 if stands_at == self._seen else 0
        self._seen = stands_at
        mine = said is not None and said.leader == self._node
        if said is None or mine or self._unchanged >= TAKEOVER_LOOKS:
            self._lead(note, looks=said.looks + 1 if said and mine else 1)
        else:
            self._since.clear()
            self._follow(said)

    def report(self) -> Mapping[str, object]:
        """Who audits, and what it found at the last look."""
        known = self._report
        return {
            "leader": known.leader or None,
            "looks": known.looks,
            "at": known.at or None,
            "findings": shown(known.found) if known.leader == self._node else len(known.found),
            "mended": known.mended,
        }

    def warnings(self) -> list[str]:
        """What stood for the whole quarantine and nobody could put right."""
        if self._report.leader != self._node:
            return list(self._mine)
        old = [each for each in self._report.found if each.seconds >= self._quarantine]
        named = ", ".join(f"{each.finding.problem} {each.finding.what}" for each in old[:3])
        more = f" and {len(old) - 3} more" if len(old) > 3 else ""
        told = [f"the audit of addresses found {named}{more}: felixctl ipam check"] if old else []
        return [*told, *self._mine]

    def _lead(self, note: KeyValue | None, looks: int) -> None:
        if looks == 1:
            self._since, self._mended = {}, 0
        found = audit(self._store, self._wait)
        now = self._clock.now()
        self._since = {each: self._since.get(each, now) for each in found.findings}
        old = [each for each in found.findings if now - self._since[each] >= self._quarantine]
        done = self._put_right(self._judged(old), found.revision)
        left = [each for each in found.findings if each not in done]
        self._report = Report(
            leader=self._node,
            looks=looks,
            revision=found.revision,
            at=f"{self._clock.wall():%Y-%m-%dT%H:%M:%SZ}",
            found=tuple(Aged(each, int(now - self._since[each])) for each in left),
            mended=self._mended,
        )
        self._tell(note)

    def _follow(self, said: Report) -> None:
        """A lease that our node holds and no endpoint shows: released unless its pod lives here."""
        self._report = said
        old = [
            each.finding
            for each in said.found
            if each.finding.subject.node == self._node and each.seconds >= self._quarantine
        ]
        self._put_right(self._judged(old), said.revision)

    def _judged(self, old: Sequence[Finding]) -> list[Finding]:
        """Those that may be put right here; a living pod's lease never is. Raises TransientError."""
        own = [each for each in old if self._names(each) == self._node]
        living = self._living() if own else ()
        alive = [each for each in own if each.subject.handle_id in living]
        self._mine = tuple(
            f"{each.what} is a living pod's ({each.subject.handle_id}) whose endpoint is gone: recreate it"
            for each in alive
        )
        kept = [each for each in old if can_mend(each) and each not in alive]
        return [each for each in kept if each in own or not self._is_a_node(self._names(each))][
            :MOST_MENDS
        ]

    @staticmethod
    def _names(finding: Finding) -> str:
        """The node whose kernel must be asked first; empty: none."""
        return finding.subject.node if finding.problem is Problem.LEAKED else ""

    def _is_a_node(self, name: str) -> bool:
        return bool(name) and self._store.get(ResourceKey(Kind.NODE, name).path) is not None

    def _put_right(self, findings: Sequence[Finding], revision: int) -> set[Finding]:
        done = set()
        for each in put_right(Office(self._store), findings, revision):
            log.info(
                "audit", problem=str(each.finding.problem), what=each.finding.what, said=each.said
            )
            if each.done:
                done.add(each.finding)
        self._mended += len(done)
        return done

    def _tell(self, note: KeyValue | None) -> None:
        stands_at = note.mod_revision if note else 0
        put = Transaction((ModRevisionIs(AUDIT, stands_at),), (Put(AUDIT, encode(self._report)),))
        outcome = self._store.transact(put)
        if outcome.succeeded:
            self._seen, self._unchanged = outcome.revision, 0
