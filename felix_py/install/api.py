"""The few requests to the Kubernetes API that an installation makes, as JSON documents.

felix_py.kube_api knows what daemons read and never a Secret; this knows Secrets of our namespace and
nothing else does.
"""

from __future__ import annotations

import http.client
import json
import os
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from felix_py.install.errors import NotYet
from felix_py.kube_api.settings import KubernetesSettings
from felix_py.runtime.errors import RefusedError

Document = dict[str, Any]
SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
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
    """The real one, as the service account of this pod."""

    def __init__(self, url: str, authority: Path, token: Path, timeout_seconds: float) -> None:
        self._url, self._token, self._timeout = url, token, timeout_seconds
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._tls.load_verify_locations(cafile=str(authority))

    @classmethod
    def of_pod(cls, settings: KubernetesSettings) -> HttpApi:
        """By the service account that kubelet mounts. Raises RefusedError."""
        url = settings.api_server
        if not url:
            host = os.environ.get("KUBERNETES_SERVICE_HOST", "")
            port = os.environ.get("KUBERNETES_SERVICE_PORT", "443")
            if not host:
                raise RefusedError("kubernetes.apiServer: not in a pod; name the API server's URL")
            url = f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
        place = SERVICE_ACCOUNT
        try:
            return cls(url, place / "ca.crt", place / "token", settings.timeout_seconds)
        except OSError as error:
            raise RefusedError(f"{place}: no service account's CA: {error}") from error

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
            self._url + path,
            data=None if body is None else json.dumps(body).encode(),
            method=verb,
            headers={
                "Authorization": f"Bearer {self._token.read_text('ascii').strip()}",
                "Content-Type": kind,
                "Accept": JSON,
            },
        )
        try:
            with urllib.request.urlopen(  # noqa: S310
                request, timeout=self._timeout, context=self._tls
            ) as answer:
                document: Document = json.loads(answer.read(MAX_ANSWER_BYTES))
                return document
        except urllib.error.HTTPError as error:
            if error.code == 404 and absent_is_fine:
                return None
            told = f"{verb} {path}: {error.code}: {_message(error)}"
            raise (NotYet(told) if error.code in BUSY else RefusedError(told)) from error
        except (OSError, http.client.HTTPException) as error:
            raise NotYet(f"the API server at {self._url} does not answer: {error}") from error


def _message(error: urllib.error.HTTPError) -> str:
    try:
        return str(json.loads(error.read(65_536)).get("message", error.reason))
    except (ValueError, AttributeError):
        return str(error.reason)
