"""Connections to etcd's members: TLS, tokens, deadlines, fail-over, and what errors mean.

Shaped by what goes wrong with etcd (tried on 3.4.23):
- a member in the minority, or stopped, keeps its connections open and answers nothing;
- a simple token dies with etcd's restart and after 5 idle minutes;
- a request that timed out may still be carried out later, so only reads are tried elsewhere.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import urlsplit

import grpc

from felix_py.datastore.errors import (
    RevisionCompacted,
    StoreAway,
    StoreRefused,
    StoreWentBack,
)
from felix_py.datastore.etcd_hints import advised
from felix_py.datastore.etcd_protobuf import Message, rpc
from felix_py.datastore.settings import DatastoreSettings

MAX_REPLY_BYTES = 512 * 1024 * 1024
"""One page of a listing; a larger reply is refused. gRPC's own bound would be 4 MB."""
SHORTEST_ATTEMPT_SECONDS = 0.5
"""A read that fails over gives each member at least this long, within the call's own bound."""

_OPTIONS = [
    ("grpc.max_receive_message_length", MAX_REPLY_BYTES),
    ("grpc.keepalive_time_ms", 10_000),  # etcd refuses pings more often than every 5 s
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.enable_retries", 0),
    ("grpc.use_local_subchannel_pool", 1),
]
_GONE = {
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNKNOWN,
}

Credentials: TypeAlias = Any
"""grpc.ChannelCredentials or None; grpc carries no types."""
Metadata = tuple[tuple[str, str], ...]
Invoke = Callable[["Member", float, Metadata], Any]


class Member:
    """One endpoint's channel and stubs."""

    def __init__(self, target: str, credentials: Credentials) -> None:
        self.channel = (
            grpc.secure_channel(target, credentials, _OPTIONS)
            if credentials
            else grpc.insecure_channel(target, _OPTIONS)
        )
        self.answered_at = time.monotonic()
        """When it last said anything to a call of ours, or was made."""
        self.kv = rpc.KVStub(self.channel)
        self.watch = rpc.WatchStub(self.channel)
        self.auth = rpc.AuthStub(self.channel)


class Cluster:
    """The members, the one in use, and our token. Safe to use from several threads."""

    def __init__(self, settings: DatastoreSettings) -> None:
        self.timeout_seconds = settings.timeout_seconds
        self._credentials, self._targets = _targets(settings)
        self._user = settings.username
        self._password = _password(settings)
        self._members: dict[int, Member] = {}
        self._current = 0
        self._token = ""
        self._lock = threading.Lock()
        self._closed = False

    def read(self, invoke: Invoke) -> Message:
        """A call that may be repeated: members are tried in turn until the time is up."""
        deadline = time.monotonic() + self.timeout_seconds
        share = max(SHORTEST_ATTEMPT_SECONDS, self.timeout_seconds / len(self._targets))
        last: StoreAway | None = None
        for _ in self._targets:
            left = deadline - time.monotonic()
            if left <= 0:
                break
            try:
                return self._attempt(invoke, min(left, share))
            except StoreAway as error:
                last = error
        raise last or StoreAway("no answer in time")

    def write(self, invoke: Invoke) -> Message:
        """A call that must not be repeated when its outcome is unknown."""
        return self._attempt(invoke, self.timeout_seconds)

    def stream(self) -> tuple[Member, Metadata]:
        """Where to open a stream, and with which metadata; with a fresh token.

        etcd answers a dead token on a watch like a lack of permission, so it must not be old.
        """
        member = self._member()
        if self._user:
            with self._lock:
                self._token = ""
        return member, self._metadata(member, self.timeout_seconds)

    def failed(self, member: Member) -> None:
        """This member did not answer: the next call goes to another."""
        with self._lock:
            if self._members.get(self._current) is member:
                self._current = (self._current + 1) % len(self._targets)

    def close(self) -> None:
        """Close every channel; safe to repeat."""
        with self._lock:
            self._closed = True
            members, self._members = list(self._members.values()), {}
        for member in members:
            member.channel.close()

    def _attempt(self, invoke: Invoke, seconds: float) -> Message:
        member = self._member()
        try:
            answer = self._ask(member, invoke, seconds)
        except grpc.RpcError as error:
            named = meaning(error)
            if isinstance(named, StoreAway):
                self.failed(member)
                self._drop_if_silent(member)
            raise named from error
        except ValueError as error:  # gRPC's word for a closed channel
            raise StoreAway("the connection to the store was closed") from error
        member.answered_at = time.monotonic()
        return answer

    def _ask(self, member: Member, invoke: Invoke, seconds: float) -> Message:
        metadata = self._metadata(member, seconds)
        try:
            return invoke(member, seconds, metadata)
        except grpc.RpcError as error:
            if not self._user or not _token_is_dead(error):
                raise
        return invoke(member, seconds, self._metadata(member, seconds, instead_of=metadata))

    def _drop_if_silent(self, member: Member) -> None:
        """Give up a connection on which nothing was answered for the time of a call.

        One address may stand for several members (a Service): the next connection leads to another one.
        gRPC's own keepalive takes 15 to 35 s to notice. Streams on it end, too, and are opened again.
        """
        with self._lock:
            silent = time.monotonic() - member.answered_at >= self.timeout_seconds
            mine = [index for index, each in self._members.items() if each is member]
            if not silent or not mine:
                return
            del self._members[mine[0]]
        member.channel.close()

    def _member(self) -> Member:
        with self._lock:
            if self._closed:
                raise StoreAway("the connection to the store was closed")
            if self._current not in self._members:
                target = self._targets[self._current]
                self._members[self._current] = Member(target, self._credentials)
            return self._members[self._current]

    def _metadata(
        self, member: Member, seconds: float, instead_of: Metadata | None = None
    ) -> Metadata:
        if not self._user:
            return ()
        with self._lock:
            if self._token and instead_of != (("token", self._token),):
                return (("token", self._token),)
        request = rpc.AuthenticateRequest(name=self._user, password=self._password)
        try:
            token = str(member.auth.Authenticate(request, timeout=seconds).token)
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.FAILED_PRECONDITION:
                raise
            return ()  # etcd runs without authentication: our user is not needed
        with self._lock:
            self._token = token
        return (("token", token),)


def meaning(error: grpc.RpcError) -> Exception:
    """A gRPC error as one of the port's; etcd tells some apart by text alone."""
    code, text = error.code(), str(error.details())
    if code in _GONE or "too many requests" in text:
        return StoreAway(f"{code.name.lower()}: {advised(text)}")
    if code is grpc.StatusCode.OUT_OF_RANGE:
        if "compacted" in text:
            return RevisionCompacted(text)
        return StoreWentBack(text)
    return StoreRefused(
        f"{code.name.lower()}: {text}; see etcd's log, its quota and our user's role"
    )


def _token_is_dead(error: grpc.RpcError) -> bool:
    return error.code() is grpc.StatusCode.UNAUTHENTICATED or (
        error.code() is grpc.StatusCode.INVALID_ARGUMENT and "auth store" in str(error.details())
    )


def _password(settings: DatastoreSettings) -> str:
    if bool(settings.username) != bool(settings.password_file):
        raise StoreRefused("datastore: username and passwordFile go together; set both or none")
    lines = _content(settings.password_file).decode("utf-8", "replace").splitlines()
    if settings.username and not (lines and lines[0]):
        raise StoreRefused(f"datastore.passwordFile: {settings.password_file} is empty; write it")
    return lines[0] if lines else ""


def _targets(settings: DatastoreSettings) -> tuple[Credentials, list[str]]:
    if not settings.endpoints:
        raise StoreRefused("datastore.endpoints: is empty; name at least one etcd URL")
    urls = [urlsplit(endpoint) for endpoint in settings.endpoints]
    for url, endpoint in zip(urls, settings.endpoints, strict=True):
        if url.scheme not in {"http", "https"} or not url.hostname or url.path not in {"", "/"}:
            problem = f"{endpoint!r} is not a URL; write it as https://10.0.0.1:2379"
            raise StoreRefused(f"datastore.endpoints: {problem}")
    if len({url.scheme for url in urls}) > 1:
        raise StoreRefused("datastore.endpoints: mix http and https; use one of them for all")
    if bool(settings.cert_file) != bool(settings.key_file):
        raise StoreRefused("datastore: certFile and keyFile go together; set both or none")
    credentials = None
    if urls[0].scheme == "https":
        credentials = grpc.ssl_channel_credentials(
            root_certificates=_content(settings.ca_cert_file) or None,
            private_key=_content(settings.key_file) or None,
            certificate_chain=_content(settings.cert_file) or None,
        )
    return credentials, [url.netloc for url in urls]


def _content(path: str) -> bytes:
    if not path:
        return b""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise StoreRefused(f"datastore: {path}: {error.strerror}; correct the path") from error
