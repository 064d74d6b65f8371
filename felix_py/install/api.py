"""The few requests to the Kubernetes API that an installation makes, as JSON documents.

felix_py.kube_api knows what daemons read and never a Secret; this knows Secrets of our namespace and
nothing else does.
"""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any, Protocol

from felix_py.install.errors import NotYet
from felix_py.kube_api.access import Access
from felix_py.runtime.errors import RefusedError

Document = dict[str, Any]
MAX_ANSWER_BYTES = 64 * 1024 * 1024
MERGE = "application/merge-patch+json"
JSON = "application/json"
BUSY = frozenset({429, 500, 502, 503, 504})
"""The server is starting or overloaded: ask again."""


class Api(Protocol):
    """Documents by path."""

    def get(self, path: str) -> Document | None:
        """One document or list; None when absent."""
        ...

    def create(self, path: str, document: Document) -> None:
        """Make it. Raises RefusedError when it is there."""
        ...

    def patch(self, path: str, document: Mapping[str, Any]) -> None:
        """Merge this into what is there."""
        ...


class HttpApi:
    """The real one."""

    def __init__(self, access: Access, timeout_seconds: float) -> None:
        self._access, self._timeout = access, timeout_seconds

    def get(self, path: str) -> Document | None:
        """GET."""
        return self._ask("GET", path, None, JSON, absent_is_fine=True)

    def create(self, path: str, document: Document) -> None:
        """POST."""
        self._ask("POST", path, document, JSON)

    def patch(self, path: str, document: Mapping[str, Any]) -> None:
        """PATCH, merging."""
        self._ask("PATCH", path, document, MERGE)

    def _ask(
        self,
        verb: str,
        path: str,
        body: Mapping[str, Any] | None,
        kind: str,
        *,
        absent_is_fine: bool = False,
    ) -> Document | None:
        request = urllib.request.Request(  # noqa: S310  the scheme is ours
            self._access.url + path,
            data=None if body is None else json.dumps(body).encode(),
            method=verb,
            headers={**self._access.headers(), "Content-Type": kind, "Accept": JSON},
        )
        try:
            with urllib.request.urlopen(  # noqa: S310
                request, timeout=self._timeout, context=self._access.tls
            ) as answer:
                document: Document = json.loads(answer.read(MAX_ANSWER_BYTES))
                return document
        except urllib.error.HTTPError as error:
            if error.code == 404 and absent_is_fine:
                return None
            told = f"{verb} {path}: {error.code}: {_message(error)}"
            raise (NotYet(told) if error.code in BUSY else RefusedError(told)) from error
        except (OSError, http.client.HTTPException) as error:
            raise NotYet(
                f"the API server at {self._access.url} does not answer: {error}"
            ) from error


def _message(error: urllib.error.HTTPError) -> str:
    try:
        return str(json.loads(error.read(65_536)).get("message", error.reason))
    except (ValueError, AttributeError):
        return str(error.reason)
