"""The one thread that owns a node's blocks: folds what arrived together into one transaction.

Callers on any thread `assign` and `release`; the thread decides on its view in memory, commits
through the node's fence and answers. No answer is given while a commit's outcome is unknown.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import structlog

from felix_py.datastore.changes import SyncMailbox
from felix_py.datastore.errors import StoreAway, StoreRefused, StoreWentBack
from felix_py.datastore.model import NodeName
from felix_py.datastore.store import Store
from felix_py.runtime.clock import Clock
from felix_py.runtime.errors import FelixPyError, TransientError
from ipam.batch import Batch, decide
from ipam.census import Census, Living
from ipam.choose import moment_of
from ipam.commit import Committer, NodeFence, Settled
from ipam.errors import GaveUp, PoolExhausted
from ipam.pool import StartIndex, start_index
from ipam.reader import Reader
from ipam.regret import give_back
from ipam.requests import AssignRequest, Lease, Released, ReleaseRequest
from ipam.tickets import Inbox, Ticket
from ipam.trust import Trust, frozen
from ipam.upkeep import Devices, Upkeep
from ipam.view import View

log = structlog.get_logger(__name__)

MAX_CAS_ATTEMPTS = 100
"""Lost races of one request, as Calico's datastoreRetries; then it fails with GaveUp."""

BATCH_REQUESTS = 64
"""Requests decided at once; a transaction holds fewer when they touch many keys."""

CROWDED_ATTEMPTS = 3
"""After so many lost races requests are committed one by one, so that one contested key harms one."""

MAX_READS = 12
"""Rounds of reading before a batch is refused; handle, blocks, list and affinities take four."""

IDLE_SECONDS = 1.0
RETRY_SECONDS = 0.2
"""How often an unsettled commit and an open repair are tried again; a request tries at once."""


class Allocator:
    """Assigns and releases for one node. `run` is the owning thread's body."""

    def __init__(  # noqa: PLR0913  all of IPAM meets here
        self,
        store: Store,
        fence: NodeFence,
        node: NodeName,
        mailbox: SyncMailbox,
        clock: Clock,
        *,
        living: Living = tuple,
        devices: Devices = dict,
        others: Callable[[], bool] = lambda: False,
        start_at: StartIndex = start_index,
    ) -> None:
        """living: what is attached on this node, registered before anything is given out. devices: the
        addresses of its tunnel devices. others: whether other nodes still register; nothing new then."""
        self._mailbox = mailbox
        self._clock = clock
        self._inbox = Inbox()
        self._waiting: deque[Ticket] = deque()
        self._view = View(node, start_at=start_at)
        self._reader = Reader(store, self._view)
        self._commit = Committer(self._view, self._reader, fence)
        self._census = Census(living, clock, others)
        self._trust = Trust(self._view, clock)
        self._upkeep = Upkeep(self._view, self._reader, self._commit, clock, devices)
        self._counts = {"assigned": 0, "released": 0, "refused": 0, "transactions": 0, "lost": 0}
        self._told_of: object = None
        self._names: list[str] = []
        self._status = self._document()

    def assign(self, request: AssignRequest, timeout_seconds: float) -> Lease:
        """Addresses for a handle, with its endpoint written. Raises ipam.errors, StoreAway, Frozen."""
        answer = self._ask(request, timeout_seconds)
        assert isinstance(answer, Lease), "an assignment is answered with a lease"
        return answer

    def release(self, request: ReleaseRequest, timeout_seconds: float) -> Released:
        """Give back what a handle holds; nothing held is success. Raises as assign does."""
        answer = self._ask(request, timeout_seconds)
        assert isinstance(answer, Released), "a release is answered with what was released"
        return answer

    def run(self, stop: threading.Event) -> None:
        """Own the blocks until told to stop; requests then get Frozen."""
        try:
            while not stop.is_set():
                self.step(self._pause())
        finally:
            why = GaveUp("the allocator has stopped; try again later")
            left = self._inbox.close(why)
            self._answer_all([*self._commit.unsettled, *self._waiting, *left], why)
            self._waiting.clear()

    def step(self, timeout_seconds: float) -> None:
        """One round of `run`: wait so long for news, then decide what can be decided."""
        changes = self._mailbox.take_all(timeout_seconds)
        before = self._view.state
        self._upkeep.note(changed=self._view.fold(changes))
        self._census.notice(before, self._view.state)
        self._waiting.extend(self._inbox.take_all())
        self._trust.check()
        self._turn()
        self._status = self._document()

    def status(self) -> dict[str, Any]:
        """What people want to see, as of the last round; any thread may ask."""
        return dict(self._status)

    def _document(self) -> dict[str, Any]:
        state, taken = self._view.state, self._upkeep.in_use_is_held
        return {
            "node": self._view.node,
            "mayAct": state.may_act,
            "frozen": state.frozen,
            "registered": state.may_act and self._census.done and taken,
            "blocks": self._block_names(),
            "waiting": len(self._waiting),
            "unsettled": len(self._commit.unsettled),
            "unregistered": sorted(self._census.refused.values()),
            "tunnelAddresses": self._upkeep.status(),
            "noTunnelAddress": sorted(self._upkeep.problems.values()),
            **self._counts,
        }

    def _block_names(self) -> list[str]:
        if self._told_of is not (held := self._view.affinities):
            self._told_of, self._names = held, [str(key.cidr) for key, _ in held]
        return self._names

    def _ask(
        self, request: AssignRequest | ReleaseRequest, timeout_seconds: float
    ) -> Lease | Released:
        ticket = Ticket(request, self._clock.now() + timeout_seconds)
        self._inbox.put(ticket)
        self._mailbox.wake()
        return ticket.wait(timeout_seconds)

    def _pause(self) -> float:
        if self._census.comes_first or self._commit.is_open:
            return RETRY_SECONDS
        if self._waiting:
            return 0.0
        return RETRY_SECONDS if self._upkeep.wanted else IDLE_SECONDS

    def _turn(self) -> None:
        """Settle, repair, serve: one transaction each at most."""
        try:
            if self._census.renewed and self._view.state.may_act:
                self._begin_anew()
            if (settled := self._commit.settle()) is not None:
                self._finish(settled)
                self._view.end_round()
            reason = self._trust.reason_not_to
            if reason is not None:
                self._fail_waiting(frozen(reason))
                return
            self._reader.read(self._view.unread_blocks())
            if not self._register():
                self._upkeep.hold()
            elif self._upkeep.work():
                self._serve()
        except (TransientError, StoreRefused) as error:
            log.warning("no decision now, requests refused", reason=str(error))
            self._fail_waiting(error)
        except StoreWentBack as error:
            log.warning("store went back, nothing is given out", reason=str(error))
            self._answer_all(self._commit.give_up(), frozen(str(error)))
            self._fail_waiting(frozen(str(error)))
            self._trust.lose(error)
        finally:
            if not self._commit.is_open:
                self._view.end_round()

    def _begin_anew(self) -> None:
        """The store went back and is trusted again."""
        left = self._commit.reopen()
        self._census.renewed = False
        self._trust.regain()
        self._upkeep.distrust()
        self._answer_all(left, frozen("the store went back"))

    def _register(self) -> bool:
        """Register what lives here, a transaction at most; False: that comes before all else."""
        census = self._census
        census.begin()
        if census.waiting:
            asked = census.waiting[:BATCH_REQUESTS]
            self._reader.read(census.unread(self._view, asked))
            batch = self._decided(asked)
            news = bool(batch.draft.writes())
            if news and self._commit.commit(batch).revision is None:
                self._counts["lost"] += 1
                return False
            census.note(batch, len(asked), news=news)
            self._view.in_use = census.in_use
        return not census.comes_first

    def _serve(self) -> None:
        tickets = self._next_tickets()
        if not tickets:
            return
        self._waiting.extendleft(reversed(tickets))
        batch = self._decided(tickets)
        for _ in range(len(tickets)):
            self._waiting.popleft()
        self._waiting.extendleft(reversed(batch.left))
        if not batch.answers:
            self._finish(Settled(batch, 0))
            return
        self._counts["transactions"] += 1
        try:
            settled = self._commit.commit(batch)
        except StoreAway:
            raise
        except FelixPyError as error:
            gone_back = isinstance(error, StoreWentBack)
            self._answer_all(batch.asked, frozen(str(error)) if gone_back else error)
            raise
        self._finish(settled)

    def _next_tickets(self) -> list[Ticket]:
        """Those to decide now, without whoever has gone or whose time is over."""
        now = self._clock.now()
        alive = [t for t in self._waiting if not t.abandoned and t.deadline > now]
        count = 1 if alive and alive[0].attempts >= CROWDED_ATTEMPTS else BATCH_REQUESTS
        self._waiting = deque(alive[count:])
        return alive[:count]

    def _decided(self, tickets: list[Ticket]) -> Batch[Ticket]:
        """The batch with all it had to read. What still misses facts after that waits."""
        moment = moment_of(self._clock.wall())
        for _ in range(MAX_READS):
            batch = decide(self._view, tickets, moment)
            if not batch.missing:
                return batch
            self._reader.fill(batch.missing)
        raise StoreRefused(f"a decision needs more than {MAX_READS} reads")

    def _finish(self, settled: Settled) -> None:
        """Answer a batch that committed; put one that lost back to the front."""
        batch = settled.batch
        if settled.revision is None:
            self._again(batch.asked)
            return
        for ticket, error in batch.refused:
            self._counts["refused"] += 1
            if isinstance(error, PoolExhausted):
                self._view.exhausted.setdefault(error.searched, self._clock.wall())
            ticket.answer(error)
        for ticket, answer in batch.answers:
            if isinstance(answer, Lease):
                answer = replace(answer, revision=settled.revision)
            self._counts["assigned" if isinstance(answer, Lease) else "released"] += 1
            if not ticket.answer(answer):
                self._undo(ticket, answer, batch)

    def _again(self, tickets: list[Ticket]) -> None:
        self._counts["lost"] += 1
        for ticket in reversed(tickets):
            ticket.attempts += 1
            if ticket.attempts >= MAX_CAS_ATTEMPTS:
                ticket.answer(GaveUp(f"lost {MAX_CAS_ATTEMPTS} races in a row; try again later"))
            else:
                self._waiting.appendleft(ticket)

    def _undo(self, ticket: Ticket, answer: Lease | Released, batch: Batch[Ticket]) -> None:
        """Nobody waits for this lease any more: its addresses go back before anything else."""
        back = give_back(ticket.request, answer, batch.draft)
        if back is not None:
            log.info("lease given back, its caller has gone", handle=back.handle_id)
            self._waiting.appendleft(Ticket(back, float("inf")))

    def _fail_waiting(self, error: Exception) -> None:
        tickets, self._waiting = list(self._waiting), deque()
        self._answer_all(tickets, error)

    @staticmethod
    def _answer_all(tickets: list[Ticket], error: Exception) -> None:
        for ticket in tickets:
            ticket.answer(error)
