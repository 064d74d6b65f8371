"""The port on a real API server, with urllib3: the only importer of it (ADR 0016).

Shaped by what goes wrong with API servers:
- a load balancer or machine that vanishes leaves connections that look open: TCP keepalive and
  TCP_USER_TIMEOUT end them within half a minute;
- the server closes idle connections; a read that met one is asked once more;
- lists of thousands come in pages, and the pages' version may be compacted away between two of them.
"""

from __future__ import annotations

import builtins
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from urllib.parse import quote, urlencode, urlsplit

import urllib3
from urllib3.connection import HTTPConnection

from felix_py.kube_api import wire, wire_writes
from felix_py.kube_api.access import Access
from felix_py.kube_api.errors import KubeAway, KubeConflict, KubeRefused, VersionGone
from felix_py.kube_api.http_watch import HttpWatch
from felix_py.kube_api.model import (
    EventNote,
    KubeObject,
    Lease,
    NodeCondition,
    Ref,
    Resource,
)
from felix_py.kube_api.port import EVERYTHING, Listing, Scope
from felix_py.runtime.version import VERSION

PAGE = 500
"""Objects per page: kubectl's own measure."""
LIST_ATTEMPTS = 3
"""A list whose version was compacted away between two pages is begun anew so often, then KubeAway."""
WATCH_SECONDS = 290
"""How long the server keeps a watch; then it is asked for anew at where it was."""
SILENT_SECONDS = 120.0
"""A watch without any byte for so long counts as lost: the server sends bookmarks every minute."""
CONNECTIONS = 8
KEEPALIVE = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 10),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 25_000),
)
_GROUPS = {Resource.NETWORK_POLICIES: "/apis/networking.k8s.io/v1"}
_LEASES = "/apis/coordination.k8s.io/v1"


class HttpKubeApi:
    """A port.KubeApi."""

    def __init__(self, access: Access, timeout_seconds: float = 10.0) -> None:
        at = urlsplit(access.url)
        self._access = access
        self._timeout = timeout_seconds
        self._base = at.path.rstrip("/")
        self._pool = urllib3.HTTPSConnectionPool(
            at.hostname or "",
            at.port or 443,
            maxsize=CONNECTIONS,
            ssl_context=access.tls,
            socket_options=[*HTTPConnection.default_socket_options, *KEEPALIVE],
            timeout=urllib3.Timeout(connect=min(5.0, timeout_seconds), read=timeout_seconds),
            retries=False,
        )

    def get(self, ref: Ref) -> KubeObject | None:
        """One object, None when absent."""
        raw = self._read(f"get {ref}", _path(ref.resource, ref.namespace, ref.name))
        return None if raw is None else wire.decode(ref.resource, raw)

    def list(self, resource: Resource, scope: Scope = EVERYTHING) -> Listing:
        """All objects at one resource version."""
        for _ in range(LIST_ATTEMPTS):
            try:
                return self._list(resource, scope)
            except VersionGone:
                continue
        raise KubeAway(f"list {resource.value}: its pages expired {LIST_ATTEMPTS} times")

    def watch(self, resource: Resource, scope: Scope, after_version: str) -> HttpWatch:
        """Every change after this version."""
        query = {
            "watch": "1",
            "resourceVersion": after_version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(WATCH_SECONDS),
        }
        doing = f"watch {resource.value}"
        with _errors(doing):
            answer = self._pool.request(
                "GET",
                self._target(_path(resource, scope.namespace), query | _selector(scope)),
                headers=self._headers(),
                preload_content=False,
                timeout=urllib3.Timeout(connect=min(5.0, self._timeout), read=SILENT_SECONDS),
            )
            if answer.status != 200:
                _check(doing, answer.status, answer.read(amt=65_536))
            return HttpWatch(resource, answer)

    def set_node_condition(self, node: str, condition: NodeCondition) -> bool:
        """Write one condition into the node's status; False: no such node."""
        body = wire_writes.condition_patch(condition, wire_writes.whole_time(datetime.now(UTC)))
        path = f"{_path(Resource.NODES, '', node)}/status"
        kind = "application/strategic-merge-patch+json"
        return self._write(f"condition of node {node}", "PATCH", path, body, kind) is not None

    def get_lease(self, namespace: str, name: str) -> Lease | None:
        """A lease, None when absent."""
        raw = self._read(f"get lease {namespace}/{name}", _lease_path(namespace, name))
        return None if raw is None else wire.decode_lease(raw)

    def put_lease(self, lease: Lease) -> Lease:
        """Create or replace at this very version. Raises KubeConflict."""
        doing = f"lease {lease.namespace}/{lease.name}"
        method, name = ("PUT", lease.name) if lease.version else ("POST", "")
        path = _lease_path(lease.namespace, name)
        raw = self._write(doing, method, path, wire_writes.lease_document(lease))
        if raw is None:
            raise KubeConflict(f"{doing}: it was deleted, or its namespace does not exist")
        return wire.decode_lease(raw)

    def note(self, event: EventNote) -> None:
        """Write an event, or renew the one that says the same. An object that is gone is fine."""
        now = wire_writes.whole_time(datetime.now(UTC))
        path = f"/api/v1/namespaces/{quote(wire_writes.event_namespace(event))}/events"
        doing = f"event on {event.about}"
        try:
            self._write(doing, "POST", path, wire_writes.event_document(event, now))
        except KubeConflict:
            path = f"{path}/{quote(wire_writes.event_name(event))}"
            body = wire_writes.event_renewal(now)
            self._write(doing, "PATCH", path, body, "application/merge-patch+json")

    def close(self) -> None:
        """Let go of idle connections; a watch is closed by its reader."""
        self._pool.close()

    def _list(self, resource: Resource, scope: Scope) -> Listing:
        found: builtins.list[KubeObject] = []
        query = {"limit": str(PAGE)} | _selector(scope)
        token = ""
        while True:
            asked = query | ({"continue": token} if token else {})
            raw = self._read(f"list {resource.value}", _path(resource, scope.namespace), asked)
            if raw is None:
                raise KubeAway(f"list {resource.value}: the API server does not serve this kind")
            items, version, token = wire.decode_page(resource, raw)
            found.extend(items)
            if not token:
                return Listing(tuple(found), version)

    def _read(self, doing: str, path: str, query: Mapping[str, str] | None = None) -> bytes | None:
        """The body, None for 404; a connection that broke is tried anew once."""
        try:
            return self._ask(doing, "GET", path, query)
        except KubeAway:
            return self._ask(doing, "GET", path, query)

    def _ask(
        self, doing: str, method: str, path: str, query: Mapping[str, str] | None = None
    ) -> bytes | None:
        with _errors(doing):
            answer = self._pool.request(method, self._target(path, query), headers=self._headers())
        return _check(doing, answer.status, answer.data)

    def _write(
        self, doing: str, method: str, path: str, body: bytes, kind: str = "application/json"
    ) -> bytes | None:
        """The body of the answer; None when the object, or its namespace, is gone."""
        headers = {**self._headers(), "Content-Type": kind}
        with _errors(doing):
            answer = self._pool.request(method, self._target(path), body=body, headers=headers)
        return _check(doing, answer.status, answer.data)

    def _headers(self) -> dict[str, str]:
        agent = {"Accept": "application/json", "User-Agent": f"felix-py/{VERSION}"}
        return {**agent, **self._access.headers()}

    def _target(self, path: str, query: Mapping[str, str] | None = None) -> str:
        return f"{self._base}{path}" + (f"?{urlencode(query)}" if query else "")


def _path(resource: Resource, namespace: str = "", name: str = "") -> str:
    group = _GROUPS.get(resource, "/api/v1")
    inside = f"/namespaces/{quote(namespace)}" if namespace else ""
    return f"{group}{inside}/{resource.value}" + (f"/{quote(name)}" if name else "")


def _lease_path(namespace: str, name: str) -> str:
    path = f"{_LEASES}/namespaces/{quote(namespace)}/leases"
    return f"{path}/{quote(name)}" if name else path


def _selector(scope: Scope) -> dict[str, str]:
    return {"fieldSelector": f"spec.nodeName={scope.node}"} if scope.node else {}


@contextmanager
def _errors(doing: str) -> Iterator[None]:
    """Turn urllib3's exceptions into ours; nothing of urllib3 leaves these modules."""
    try:
        yield
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise KubeAway(f"{doing}: {error}") from error


def _check(doing: str, status: int, body: bytes) -> bytes | None:
    """The body of a good answer, None for 404 or a namespace that is going. Raises the rest."""
    if 200 <= status < 300:
        return body
    why, causes = wire.decode_status(body)
    if status == 404 or wire.TERMINATING in causes:
        return None
    if status == 409:
        raise KubeConflict(f"{doing}: {why}")
    if status == 410:
        raise VersionGone(f"{doing}: {why}")
    if status in {408, 429} or status >= 500:
        raise KubeAway(f"{doing}: {status} {why}")
    raise KubeRefused(doing, status, why)
