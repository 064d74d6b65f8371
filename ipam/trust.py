"""Whether decisions may be taken now, from what the syncer says and from what the fence found."""

from __future__ import annotations

from felix_py.datastore.errors import StoreWentBack
from felix_py.runtime.clock import Clock
from ipam.errors import Frozen
from ipam.view import View

NOTICE_SECONDS = 5.0
"""After the fence found that the store went back: so long for the syncer to say so too. When it says
that all is well all the same, the process must start anew with a new fence."""


class Trust:
    """One thread's."""

    def __init__(self, view: View, clock: Clock) -> None:
        self._view = view
        self._clock = clock
        self._lost: tuple[StoreWentBack, float] | None = None

    @property
    def reason_not_to(self) -> str | None:
        """Why nothing may be decided now; None: it may."""
        state = self._view.state
        if self._lost is not None:
            return str(self._lost[0])
        if not state.may_act:
            return state.frozen or "the store has not been read yet"
        return None if self._view.ready else "ClusterInformation is absent or not ready"

    def lose(self, error: StoreWentBack) -> None:
        """The fence found that the store went back."""
        self._lost = (error, self._clock.now())

    def regain(self) -> None:
        """The store is trusted again and the fence was opened anew."""
        self._lost = None

    def check(self) -> None:
        """Raises StoreWentBack when only a new start with a new fence helps."""
        if self._lost is None:
            return
        error, since = self._lost
        if not self._view.state.may_act:
            self._lost = (error, self._clock.now())
        elif self._clock.now() - since > NOTICE_SECONDS:
            raise error


def frozen(reason: str) -> Frozen:
    """What requests are answered meanwhile."""
    return Frozen(f"no address decision now: {reason}; try again later")
