"""What can go wrong with the Kubernetes API, in the runtime's three kinds."""

from __future__ import annotations

from felix_py.runtime.errors import RefusedError, StaleError, TransientError


class KubeAway(TransientError):
    """No answer in time, a broken connection, or an API server that cannot serve now (5xx, 429).

    The outcome of a write that raised this is unknown.
    """


class WatchEnded(TransientError):
    """The server ended a watch in good order, as it does every few minutes: watch again from where it was."""


class KubeConflict(TransientError):
    """The object changed meanwhile, or exists already (409): read again, decide again."""


class VersionGone(StaleError):
    """The resource version asked for is no longer kept (410): list again."""


class KubeRefused(RefusedError):
    """The API server will not: no permission (403), not known to it (401), a bad request (422).

    Compare `status`, never the text.
    """

    def __init__(self, doing: str, status: int, why: str) -> None:
        super().__init__(f"{doing}: {status} {why}")
        self.status = status
