"""What lives on this node, against a store that may not know it: registered before anything is given out.

A store restored from a snapshot does not know the pods that were made after it, a new one knows none:
their addresses look free. So whenever the store is trusted (again), everything that lives here is asked
for by name, with its handle and endpoint; only then are new addresses given out. What is registered
already costs no write. What cannot be registered (the address is another's by now) is reported, its
addresses are passed over, and it is tried again until it can.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from ipaddress import ip_network

import structlog

from felix_py.datastore.changes import StoreState
from felix_py.datastore.keys import HandleKey, Key
from felix_py.datastore.model import HandleId, IPNetwork
from felix_py.runtime.clock import Clock
from felix_py.runtime.errors import FelixPyError
from felix_py.runtime.schedule import Interval
from ipam.batch import Batch
from ipam.requests import AssignRequest
from ipam.tickets import Ticket
from ipam.view import View

log = structlog.get_logger(__name__)

Living = Callable[[], Sequence[AssignRequest]]
"""Everything attached on this node now: its handle, its addresses by name, its endpoint. Raises
TransientError when that cannot be said now."""

OTHERS_SECONDS = 3.0
"""After a store went back and is trusted again, so long nothing new is given out: every other node
registers what lives there meanwhile, in blocks that this store may show as nobody's."""

AGAIN_SECONDS = 5.0
"""How often what could not be registered is tried again."""


class Census:
    """Who is still to be registered, who cannot be. One thread."""

    def __init__(self, living: Living, clock: Clock, others: Callable[[], bool]) -> None:
        """others: whether other nodes still register what lives there (cni/recovery.py)."""
        self._others = others
        self._living = living
        self._clock = clock
        self._again = Interval(AGAIN_SECONDS)
        self._held_until = float("-inf")
        self._wanted = False
        self.renewed = False
        """The store went back and is trusted again: what was held of it counts no more."""
        self.waiting: list[Ticket] = []
        self.refused: dict[HandleId, str] = {}
        """Live attachments that the store gives no place, each with a sentence for people."""
        self.in_use: tuple[IPNetwork, ...] = ()
        """Their addresses, which must not be given out."""

    def notice(self, before: StoreState, now: StoreState) -> None:
        """The store's state may have changed."""
        if not now.may_act or before.may_act:
            return
        self._wanted = True
        if before.frozen is not None:
            self.renewed = True
            self._held_until = self._clock.now() + OTHERS_SECONDS

    @property
    def comes_first(self) -> bool:
        """True while nothing new may be given out."""
        held = self._clock.now() < self._held_until
        return held or not self.done or self._others()

    @property
    def done(self) -> bool:
        """What lives here is registered, or could not be."""
        return not (self._wanted or self.waiting or self.renewed)

    def begin(self) -> None:
        """Look at what lives here, if it is time to. Raises what the look raises: look again then."""
        if self.waiting:
            return
        due = bool(self.refused) and self._again.due(self._clock.now())
        if self._wanted or due:
            self._again.due(self._clock.now())
            living = self._living()
            self._wanted = False
            self.refused, self.in_use = {}, ()
            self.waiting = [Ticket(request, float("inf")) for request in living]

    @staticmethod
    def unread(view: View, asked: Sequence[Ticket]) -> list[Key]:
        """Their handles and endpoints that nobody has read yet."""
        keys: list[Key] = []
        for ticket in asked:
            keys.append(HandleKey(ticket.request.handle_id))
            if isinstance(ticket.request, AssignRequest) and ticket.request.endpoint:
                keys.append(ticket.request.endpoint.key)
        return [key for key in keys if view.get(key) is None]

    def note(self, batch: Batch[Ticket], taken: int, *, news: bool) -> None:
        """The first so many were decided, and the batch committed or (no news) needed no write."""
        self.waiting = [*batch.left, *self.waiting[taken:]]
        for ticket, error in batch.refused:
            self._refuse(ticket, error)
        if news:
            handles = [ticket.request.handle_id for ticket, _ in batch.answers]
            log.warning("the store did not know all that lives here", registered=handles)

    def _refuse(self, ticket: Ticket, error: FelixPyError) -> None:
        request = ticket.request
        assert isinstance(request, AssignRequest), "only live attachments are asked for"
        named = ", ".join(map(str, request.addresses))
        what = request.endpoint.key.name if request.endpoint else request.handle_id
        self.refused[request.handle_id] = (
            f"{what} lives here with {named}, which the store does not give to it: {error}; "
            "recreate the pod"
        )
        self.in_use += tuple(ip_network(address) for address in request.addresses)
        log.error("what lives here cannot be registered", handle=request.handle_id, why=str(error))
