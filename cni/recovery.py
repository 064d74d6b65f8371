"""What this node does when the store went back: closes the gate, says what lives here, and may lead.

Written is only into a store of our cluster's GUID, whose session key for this node (if there is one) carries
this machine's id: a daemon that was pointed at another etcd changes nothing there. A person's question
(felixctl) is answered in a store of another GUID, too: only a person knows that it was made anew for us.

After the opening a node takes its answer away when all that lives here is registered. As long as any answer
lies there nothing new is given out, here or elsewhere.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import structlog

from cni.recovery_leader import Leader
from felix_py.datastore.changes import StoreState
from felix_py.datastore.codec import decode as decode_value
from felix_py.datastore.errors import StoreRefused
from felix_py.datastore.gate import Gate, close, gate_of
from felix_py.datastore.identity import ACCEPTED, CLUSTER, Cause, Identity, identity_of
from felix_py.datastore.keys import (
    RECOVERY_ANSWERS,
    RECOVERY_GATE,
    RECOVERY_QUESTION,
    SessionKey,
    recovery_answer,
)
from felix_py.datastore.model import NodeName
from felix_py.datastore.model_own import Session
from felix_py.datastore.store import Delete, KeyValue, Put, Store, Transaction
from felix_py.runtime.clock import Clock
from felix_py.runtime.errors import FelixPyError
from felix_py.runtime.schedule import Interval
from ipam.recovering import nodes_of
from ipam.recovery_papers import (
    Answer,
    Claim,
    Question,
    decode_question,
    digest_of,
    encode,
    missed,
)
from ipam.recovery_verdict import BY_HAND

log = structlog.get_logger(__name__)

FROZEN_SECONDS, OTHERS_SECONDS = 2.0, 0.5
"""How often the store is looked at: while it is not trusted; while others register."""
TICK_SECONDS, IDLE_SECONDS = 0.1, 0.5
"""How often our own state is: while others may register; else."""
MISSED_SECONDS = 30.0
"""How often it is looked which nodes the store lacks, while a question stands."""
REGISTER_SECONDS = 30.0
"""Nodes that did not register by then are waited for no longer; their answers go."""


@dataclass(frozen=True, slots=True)
class Here:
    """What this node says of itself. All may be called from the recovery's thread."""

    node: NodeName
    machine_id: str
    living: Callable[[], Sequence[Claim]]
    """What is attached. Raises TransientError: ask again."""
    adding: Callable[[], frozenset[object]]
    """ADDs under way."""
    known_nodes: Callable[[], Collection[NodeName] | None]
    """Which nodes there were when the store was last trusted; None: not remembered."""
    disproved: Callable[[Identity, int], bool | None]
    """Whether the store as it was just read is not the one we know (judge.py)."""
    registered: Callable[[], bool]
    """The store is trusted, and what lives here is registered in it."""


class Recovery:
    """One thread's; `others_register`, `report` and `warnings` are for others, too."""

    name = "recovery"

    def __init__(
        self,
        store: Store,
        here: Here,
        state: Callable[[], StoreState],
        clock: Clock,
        *,
        manual: bool = False,
    ) -> None:
        """manual: this node waits for a person, and leads no recovery."""
        self._store, self._here, self._state, self._clock = store, here, state, clock
        self._manual = manual
        self._leader = Leader(store, here.node, clock)
        self._asked = ""
        self._before: frozenset[object] = frozenset()
        self._told = b""
        self._missed = Interval(MISSED_SECONDS)
        self._lacking: tuple[str, ...] = ()
        self._removed = False
        self._trusted_at: float | None = None
        self._question: Question | None = None
        self._said = ""
        self.others_register = True
        """Answers to a recovery lie there still, as far as is known: nothing new is given out."""

    def run(self, stop: threading.Event) -> None:
        """Until told to stop."""
        looked_at, frozen, problem = float("-inf"), False, ""
        while not stop.wait(TICK_SECONDS if self.others_register else IDLE_SECONDS):
            state, before = self._state(), frozen
            frozen = state.frozen is not None
            pause = FROZEN_SECONDS if frozen else OTHERS_SECONDS
            due = frozen != before or self._clock.now() - looked_at >= pause
            if not due or not (frozen or state.may_act):
                continue
            looked_at = self._clock.now()
            try:
                self.step()
                problem = ""
            except FelixPyError as error:
                if str(error) != problem:
                    problem = str(error)
                    log.warning("recovery: no step now", reason=problem)

    def step(self) -> None:
        """One look. Raises StoreAway, StoreRefused, TransientError: look again."""
        state = self._state()
        if state.frozen is not None:
            self._trusted_at = None
            self._while_frozen(state.cause)
            return
        self._said, self._question = "", None
        self._leader.forget()
        if state.may_act and self.others_register:
            self._while_registering()

    def report(self) -> Mapping[str, object]:
        """Who leads a recovery, and what it waits for."""
        question = self._question
        return {
            "leader": question.by if question else None,
            "answered": bool(self._told),
            "othersRegister": self.others_register,
            "waitsFor": self._said or None,
        }

    def warnings(self) -> list[str]:
        """What a person should do."""
        return [self._said] if self._said else []

    def _while_frozen(self, cause: Cause) -> None:
        session = SessionKey(self._here.node).path
        keys = (CLUSTER.path, ACCEPTED, RECOVERY_GATE, RECOVERY_QUESTION, session)
        found, revision = self._store.get_many(keys)
        gate = gate_of(found[CLUSTER.path], found[RECOVERY_GATE])
        asked = found[RECOVERY_QUESTION]
        self._question = None if asked is None else decode_question(asked.value)
        if gate is None:
            self._said = ""  # absent or unreadable: the store's state says so itself
            return
        machine = self._machine(found[session])
        if machine not in {"", self._here.machine_id}:
            self._said = (
                f"the session key of this node is of machine {machine}: nothing is written here"
            )
            return
        doubtful = cause in {Cause.WENT_BACK, Cause.UNSURE} and gate.is_open and not gate.marked
        if doubtful and self._closes(identity_of(found[CLUSTER.path], found[ACCEPTED]), revision):
            self._close(gate)
            return
        if self._question is None:
            self._asked, self._told = "", b""
        elif self._question.is_persons or cause is not Cause.FOREIGN:
            self._answer(self._question)
        if gate.ours and cause is not Cause.FOREIGN and not self._manual:
            self._leader.step(gate, revision, asked)
        self._said = self._sentence(cause, gate)

    def _closes(self, identity: Identity, revision: int) -> bool:
        """Whether this very look shows that it went back; who cannot tell leaves it to a person if set so."""
        disproved = self._here.disproved(identity, revision)
        return not self._manual if disproved is None else disproved

    def _close(self, gate: Gate) -> None:
        reason = self._state().frozen or "the store went back"
        try:
            closed = close(self._store, gate, str(self._here.node), reason)
        except StoreRefused as error:
            self._said = f"the gate (datastoreReady) cannot be closed by this node: {error}"
            raise
        if closed:
            log.error("gate closed: datastoreReady is false now", why=reason)

    def _answer(self, question: Question) -> None:
        """Say what lives here, again when less does. No ADD begun before the question may be under way.

        One begun later cannot commit: the gate was closed before the question, and each compares it.
        """
        if question.nonce != self._asked:
            self._asked, self._before, self._told = question.nonce, self._here.adding(), b""
            self._missed.hurry()
        if self._before & self._here.adding():
            return
        known = self._here.known_nodes()
        if self._missed.due(self._clock.now()):
            self._lacking = self._not_stored(known or (), question.nodes)
        living = tuple(self._here.living())
        answer = Answer(living, self._manual, known is not None, self._lacking)
        told = encode(question.nonce, answer)
        if told != self._told:
            self.others_register = True
            put = Put(recovery_answer(self._here.node), told)
            self._store.transact(Transaction((), (put,)))
            self._told, self._removed = told, False
            log.info("told what lives here", attachments=len(living))

    def _not_stored(self, known: Collection[NodeName], digest: str) -> tuple[str, ...]:
        """Nodes that are remembered here and that the store lacks."""
        if not known or digest_of(known) == digest:
            return ()
        return missed(known, nodes_of(self._store))

    def _while_registering(self) -> None:
        """The store is trusted: whether everybody has registered."""
        now = self._clock.now()
        self._trusted_at = now if self._trusted_at is None else self._trusted_at
        over = now - self._trusted_at >= REGISTER_SECONDS
        self.others_register = not over
        left = self._store.list(RECOVERY_ANSWERS, keys_only=True, limit=1).items
        if over and left:
            log.warning("not registered in time, waited for no longer", one=left[0].key)
            left = self._store.list(RECOVERY_ANSWERS, keys_only=True).items
            self._remove(*(item.key for item in left))
        elif left and self._here.registered() and not self._removed:
            self._remove(recovery_answer(self._here.node))
            self._removed = True
        if over or not left:
            self._asked, self._told, self.others_register = "", b"", False

    def _remove(self, *paths: str) -> None:
        for path in paths:
            self._store.transact(Transaction((), (Delete(path),)))

    def _sentence(self, cause: Cause, gate: Gate) -> str:
        if cause is Cause.FOREIGN:
            return f"if this etcd was made anew for this cluster: {BY_HAND}; else correct datastore.endpoints"
        if self._question is not None and not self._question.is_persons and gate.ours:
            return self._question.said
        if gate.ours:
            return "" if self._question or not self._manual else _manual()
        if cause is Cause.CLOSED or (gate.is_open and not gate.marked):
            return ""
        if gate.is_open:
            return f"somebody opened the store that was closed by us: {BY_HAND}"
        return f"datastoreReady was set to false by an operator, who opens it: {BY_HAND}"

    @staticmethod
    def _machine(stored: KeyValue | None) -> str:
        """Whose session key it is; empty: there is none."""
        if stored is None:
            return ""
        value = decode_value(SessionKey(NodeName("any")), stored.value)
        return value.machine_id if isinstance(value, Session) else "(unreadable)"


def _manual() -> str:
    return (
        f"the store went back and cni.recovery is manual: if it is the one to go on with, {BY_HAND}"
    )
