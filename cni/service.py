"""One request of the shim -> one answer. Here exceptions become the specification's error objects."""

from __future__ import annotations

from collections.abc import Callable
from time import sleep

import structlog

from cni import answers, netconf
from cni import request as requests
from cni.add import add
from cni.answers import Answer, Attachment
from cni.attachments import Attachments
from cni.check import check
from cni.delete import delete
from cni.errors import CniError, IncompatibleVersion, NotAvailable, code_of
from cni.keyed_lock import KeyedLock
from cni.naming import Names, names_of
from cni.pods import NoKubernetes, Pods
from cni.request import Command, RawRequest, Request
from felix_py.datastore.model import HandleId
from felix_py.runtime import metrics

log = structlog.get_logger(__name__)

LOCK_SECONDS = 60.0
"""How long a request waits for another one of its container: then "try again later"."""

START_SECONDS = 5.0
"""How long requests wait, counted from the start, for a server that has not read the store yet: a
shim that sent its request again after a crash is answered at once when it can be. Then as always."""
START_POLL_SECONDS = 0.02

WhyNot = Callable[[], str | None]
"""Why this node cannot serve ADD at the moment; None: it can."""


class Service:
    """Answers requests. Safe to use from several threads."""

    def __init__(self, attachments: Attachments, why_not: WhyNot, pods: Pods | None = None) -> None:
        self._attachments = attachments
        self._pods = pods or NoKubernetes()
        self._why_not = why_not
        self._locks = KeyedLock(LOCK_SECONDS)
        self._adding: set[object] = set()
        self._starting_until: float | None = attachments.clock.now() + START_SECONDS

    def answer(self, raw: RawRequest, descriptor: int | None) -> Answer:
        """The answer, whatever happens: this is the per-request boundary."""
        started_at = self._attachments.clock.now()
        version = netconf.SUPPORTED_VERSIONS[-1]
        code = 0
        request: Request | None = None
        try:
            version = netconf.version_of(netconf.decode(raw.stdin))
            request = requests.parse(raw)
            answer = self._dispatch(request, descriptor)
        except Exception as error:  # noqa: BLE001  a request must never end its worker
            answer, code = answers.failure(error, version), code_of(error)
            self._report(raw, error, code)
            if request is not None and request.command is Command.ADD:
                self._pods.complain(request, error)
        command = raw.command if raw.command in Command.__members__ else "other"
        metrics.CNI_REQUESTS.labels(command, str(code)).inc()
        metrics.CNI_SECONDS.labels(command).observe(self._attachments.clock.now() - started_at)
        return answer

    def adding(self) -> frozenset[object]:
        """The ADDs under way now, each by something that is its own."""
        return frozenset(self._adding.copy())

    def settle(self, handle: HandleId) -> None:
        """Settle a pending DEL, with no request of the same container under way."""
        pending = self._attachments.pending.get(handle)
        if pending is None:
            return
        with self._locks.hold(f"container {pending.container_id}"):
            self._attachments.settle(handle)

    def _dispatch(self, request: Request, descriptor: int | None) -> Answer:
        if request.command is Command.GC:
            raise IncompatibleVersion("cniVersion: GC needs 1.1.0, which is not supported")
        if request.command is Command.STATUS:
            return self._status()
        if request.command is Command.ADD:
            request = self._pods.know(request)
        names = names_of(request, self._attachments.node)
        self._await_start()
        links = {names.host_link, self._recorded_link(names)}
        keys = (f"link {link}" for link in links)
        with self._locks.hold(f"container {request.container_id}", *keys):
            return self._work(request, names, descriptor)

    def _recorded_link(self, names: Names) -> str:
        """A DEL need not come with the arguments of its ADD, from which a pod's link has its name."""
        record = self._attachments.records.of_handle(names.handle)
        return record.host_link if record else names.host_link

    def _await_start(self) -> None:
        while self._starting_until is not None:
            if self._why_not() is None or self._attachments.clock.now() > self._starting_until:
                self._starting_until = None
            else:
                sleep(START_POLL_SECONDS)

    def _work(self, request: Request, names: Names, descriptor: int | None) -> Answer:
        attachments, conf = self._attachments, request.conf
        if request.command is Command.ADD:
            attachment = self._add(request, names, descriptor)
            log.info(
                "attached", handle=names.handle, link=names.host_link, endpoint=names.endpoint.name
            )
            return answers.result(attachment, conf.cni_version, conf.dns)
        if request.command is Command.DEL:
            delete(attachments, request, names)
            log.info("detached", handle=names.handle, link=names.host_link)
        else:
            check(attachments, request, names, descriptor)
        return answers.OK

    def _add(self, request: Request, names: Names, descriptor: int | None) -> Attachment:
        mark = object()
        self._adding.add(mark)
        try:
            return add(self._attachments, request, names, descriptor)
        finally:
            self._adding.discard(mark)

    def _status(self) -> Answer:
        reason = self._why_not()
        if reason is not None:
            raise NotAvailable(reason)
        return answers.OK

    @staticmethod
    def _report(raw: RawRequest, error: Exception, code: int) -> None:
        expected = isinstance(error, CniError)
        log.warning(
            "request failed",
            command=raw.command[:16],
            container=raw.container_id[:80],
            code=code,
            why=str(error),
            exc_info=None if expected or code < 900 else error,
        )
