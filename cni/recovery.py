"""A node answers an operator who asks what lives on it (`felixctl ipam recover`).

Nothing else is written into a store that went back, and this only when the operator asked in that very
store: the answer lies under a key of this node's own. A node that knew no other store answers, too.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import structlog

from felix_py.datastore.errors import StoreAway, StoreRefused
from felix_py.datastore.keys import RECOVERY, recovery_answer
from felix_py.datastore.model import NodeName
from felix_py.datastore.store import Put, Store, Transaction
from felix_py.runtime.errors import TransientError
from ipam.recovery import Claim, encode

log = structlog.get_logger(__name__)

FROZEN_SECONDS, ELSE_SECONDS = 2.0, 20.0
"""How often a node looks whether it is asked, while it is frozen and while all is well."""


class Recovery:
    """One thread's."""

    def __init__(
        self,
        store: Store,
        node: NodeName,
        living: Callable[[], Sequence[Claim]],
        frozen: Callable[[], bool],
    ) -> None:
        self._store, self._path = store, recovery_answer(node)
        self._living, self._frozen = living, frozen
        self._answered = ""

    @property
    def wait_seconds(self) -> float:
        """Until the next look."""
        return FROZEN_SECONDS if self._frozen() else ELSE_SECONDS

    def run(self, stop: threading.Event) -> None:
        """Until told to stop."""
        looked = 0.0
        while not stop.wait(FROZEN_SECONDS):
            looked += FROZEN_SECONDS
            if looked < self.wait_seconds:
                continue
            looked = 0.0
            try:
                self.step()
            except (StoreAway, StoreRefused, TransientError) as error:
                log.debug("no answer to a recovery yet", reason=str(error))

    def step(self) -> None:
        """Answer a question that was not answered yet. Raises StoreAway, StoreRefused, TransientError."""
        asked = self._store.get(RECOVERY)
        nonce = "" if asked is None else asked.value.decode("utf-8", "replace")
        if not nonce or nonce == self._answered:
            return
        claims = self._living()
        self._store.transact(Transaction((), (Put(self._path, encode(nonce, claims)),)))
        self._answered = nonce
        log.info("told what lives here", attachments=len(claims))
