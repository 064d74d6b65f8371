"""One node leads the recovery of a store that went back: asks, judges, and where nothing conflicts opens.

Who poses the question leads; it lets the question's value rise as long as it lives, and who sees it stand
still takes over with a question of its own. A question that felixctl posed is a person's, and is left alone
for long. Only a gate that we closed is opened, and only when every node that the store or an answer knows has
said what lives there.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import structlog
from msgspec.structs import replace

from felix_py.datastore.gate import Gate
from felix_py.datastore.keys import RECOVERY_QUESTION
from felix_py.datastore.model import NodeName
from felix_py.datastore.store import KeyValue, ModRevisionIs, Put, Store, Transaction
from felix_py.runtime.clock import Clock
from ipam import recovering
from ipam.audit import snapshot_of
from ipam.errors import NotYours, StaleLease
from ipam.recovery import Claims, plan
from ipam.recovery_papers import Question, decode_question, digest_of, encode_question
from ipam.recovery_verdict import not_answered, obstacle, unready

log = structlog.get_logger(__name__)

SETTLE_SECONDS = 10.0
"""From the question to the earliest opening: who restores in several steps is not overtaken."""
BEAT_SECONDS, TAKEOVER_SECONDS, PERSON_SECONDS = 3.0, 30.0, 600.0
"""How often the question rises during long work; one that stood still for so long, a node's or a person's,
has no leader any more. Reading a hundred thousand addresses takes ten seconds."""
REPLAN_SECONDS = 30.0
"""How often a plan that was held up is made again while no answer changes."""
CHANGED = "what was to be released changed meanwhile; it is looked at again"


@dataclass(frozen=True, slots=True)
class _Judged:
    """What a plan was held up by, made at an instant of these nodes' answers."""

    at: float
    state: object
    said: str


class Leader:
    """One thread's. Called as long as the gate is closed by us."""

    def __init__(self, store: Store, node: NodeName, clock: Clock) -> None:
        self._store, self._node, self._clock = store, node, clock
        self._nonce = ""
        self._posed_at = 0.0
        self._seen, self._seen_at = -1, 0.0
        self._judged: _Judged | None = None
        self._beats = 0

    def step(self, gate: Gate, revision: int, stored: KeyValue | None) -> None:
        """One look; `stored` is the question as it stands. Raises what the store does, GaveUp."""
        now = self._clock.now()
        question = None if stored is None else decode_question(stored.value)
        stands_at = stored.mod_revision if stored else 0
        if stands_at != self._seen:
            self._seen, self._seen_at = stands_at, now
        if question is not None and question.by == self._node and question.nonce == self._nonce:
            self._lead(question, gate, revision)
        elif stored is None or now - self._seen_at >= self._patience(question):
            self._pose(stands_at)

    def forget(self) -> None:
        """The store is trusted: a question of before, in a snapshot that holds it, is nobody's any more."""
        self._nonce, self._judged = "", None

    def _patience(self, question: Question | None) -> float:
        if question is None:
            return TAKEOVER_SECONDS
        if question.by == self._node:
            return 0.0  # by a process of this node that is gone, or out of a snapshot
        return PERSON_SECONDS if question.is_persons else TAKEOVER_SECONDS

    def _pose(self, stands_at: int) -> None:
        nodes = digest_of(recovering.nodes_of(self._store))
        question = Question(secrets.token_hex(16), str(self._node), nodes=nodes)
        if self._put(question, stands_at):
            self._nonce, self._posed_at, self._judged = question.nonce, self._clock.now(), None
            log.warning("leads the recovery of a store that went back", node=self._node)

    def _lead(self, question: Question, gate: Gate, revision: int) -> None:
        settled = self._clock.now() - self._posed_at >= SETTLE_SECONDS
        said = self._held_up(question, settled=settled)
        if settled and said is None:
            also = (ModRevisionIs(RECOVERY_QUESTION, self._seen),)
            if recovering.accept_and_open(self._store, gate, revision, also):
                log.warning("recovered: the store is accepted, its gate is open")
            return
        if said and said != question.said:
            log.error("recovery is held up", why=said)
        self._put(replace(question, beat=question.beat + 1, said=said or ""), self._seen)

    def _beat(self, question: Question) -> None:
        """In the midst of long work. Raises StaleLease: another leads by now."""
        if self._clock.now() - self._seen_at < BEAT_SECONDS:
            return
        self._beats += 1
        if not self._put(replace(question, beat=question.beat + self._beats), self._seen):
            raise StaleLease("another node leads the recovery by now")

    def _held_up(self, question: Question, *, settled: bool) -> str | None:
        """What stands against opening; None: nothing, and once settled what lives no more is released."""
        stored, there = recovering.nodes_of(self._store), recovering.answered_by(self._store)
        quiet = sorted(stored - set(there))
        if quiet:
            return not_answered(quiet)
        state = (stored, there)
        judged, now = self._judged, self._clock.now()
        if judged is not None and judged.state == state and now - judged.at < REPLAN_SECONDS:
            return judged.said
        answers = recovering.answers_to(self._store, question.nonce)
        against = unready(stored, answers)
        if against is None and settled:
            claims = {node: each.living for node, each in answers.items()}
            against = self._carried_out(claims, partial(self._beat, question))
            if against is not None and against != CHANGED:
                self._judged = _Judged(self._clock.now(), state, against)
        return against

    def _carried_out(self, claims: Claims, beat: Callable[[], None]) -> str | None:
        """Why the plan is not carried out; None: it was."""
        snapshot = snapshot_of(self._store)
        made = plan(snapshot, claims)
        against = obstacle(made)
        if against is not None:
            return against
        try:
            beat()
            endpoints, more = recovering.release(self._store, snapshot, made, beat)
        except (StaleLease, NotYours) as error:
            log.warning(CHANGED, why=str(error))
            return CHANGED
        log.warning(
            "released what lives no more",
            endpoints=endpoints,
            addresses=more,
            returning=len(made.returning),
        )
        return None

    def _put(self, question: Question, stands_at: int) -> bool:
        put = Put(RECOVERY_QUESTION, encode_question(question))
        outcome = self._store.transact(
            Transaction((ModRevisionIs(RECOVERY_QUESTION, stands_at),), (put,))
        )
        if outcome.succeeded:
            self._seen, self._seen_at = outcome.revision, self._clock.now()
        return outcome.succeeded
