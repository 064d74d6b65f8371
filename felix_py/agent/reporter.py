"""The thread that writes to etcd for felix: the Node object and the status.

A thread of its own, because a call to etcd may wait for seconds and the loop must put a route
right within one.
"""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog

from felix_py.agent.calc.node_object import (
    ANNOTATION,
    FIELDS,
    IPIP_FIELD,
    AddressWish,
    NodePlan,
    Published,
    orch_refs,
    plan,
    publish,
)
from felix_py.datastore.codec import decode, render_new, rewrite
from felix_py.datastore.errors import StoreAway, StoreRefused
from felix_py.datastore.keys import ResourceKey
from felix_py.datastore.model import ClusterInformation, Invalid, Kind, NodeName
from felix_py.datastore.status_board import StatusBoard
from felix_py.datastore.store import KeyValue, ModRevisionIs, Put, Store, Transaction
from felix_py.runtime.clock import Clock
from felix_py.runtime.errors import RefusedError
from felix_py.runtime.mailbox import Mailbox
from felix_py.runtime.schedule import Backoff, Retry

log = structlog.get_logger(__name__)

CLUSTER = ResourceKey(Kind.CLUSTER_INFORMATION, "default")
WAIT_SECONDS = 1.0
"""How long the thread sleeps without news; also how soon it notices that it should stop."""


@dataclass(frozen=True, slots=True)
class NodeWish:
    """What the Node should say: detections by IP version, and who else has those addresses."""

    addresses: Mapping[int, AddressWish]
    holders: Mapping[int, NodeName]
    guid: str
    """The cluster that this was decided in; another one gets no Node from us."""
    published: Published = field(default_factory=Published)


class Reporter:
    """`wish` and `publish` from the loop, `run` in its own thread; the newest of each counts."""

    def __init__(
        self,
        store: Store,
        me: NodeName,
        board: StatusBoard,
        clock: Clock,
        kubernetes_node: str = "",
    ) -> None:
        self._store = store
        self._key = ResourceKey(Kind.NODE, me)
        self._kubernetes_node = kubernetes_node
        self._board = board
        self._clock = clock
        self._mailbox: Mailbox[str, NodeWish | Mapping[str, object]] = Mailbox()
        self._wish: NodeWish | None = None
        self._retry = Retry(Backoff(0.5, 30.0))
        self._document: Mapping[str, object] | None = None
        self.node_warnings: tuple[str, ...] = ()
        """Read by the loop; replaced whole, so no lock."""

    def wish(self, wish: NodeWish) -> None:
        """The Node object should say this."""
        self._mailbox.put("node", wish)

    def publish(self, document: Mapping[str, object]) -> None:
        """The status to show in etcd."""
        self._mailbox.put("status", document)

    def run(self, stop: threading.Event) -> None:
        """Write what is asked for until told to stop."""
        while not stop.is_set():
            wait = self._retry.wait_seconds(self._clock.now(), WAIT_SECONDS)
            for value in self._mailbox.take_all(wait).values():
                if isinstance(value, NodeWish):
                    self._wish = value
                    self._retry.record(self._clock.now(), failed=False)
                    self._write_node()
                else:
                    self._document = value
            if self._retry.due(self._clock.now()):
                self._write_node()
            if self._document is not None:
                self._board.publish(self._document)

    def _write_node(self) -> None:
        wish = self._wish
        if wish is None:
            return
        if _is_frozen(self._document):
            self._retry.record(self._clock.now(), failed=True)
            return
        try:
            done = self._try_node(wish)
        except StoreAway:
            done = False
        except (StoreRefused, RefusedError) as error:
            done = False
            self.node_warnings = (f"node {self._key.name} cannot be written: {error}",)
        self._retry.record(self._clock.now(), failed=not done)

    def _try_node(self, wish: NodeWish) -> bool:
        """One compare-and-swap; False: try again later."""
        found, _ = self._store.get_many([CLUSTER.path, self._key.path])
        cluster, stored = found[CLUSTER.path], found[self._key.path]
        if cluster is None or _guid(cluster) != wish.guid:
            return False
        if stored is not None and isinstance(decode(self._key, stored.value), Invalid):
            self.node_warnings = (f"{self._key.path} is invalid and left as it is",)
            return False
        document: dict[str, Any] = {} if stored is None else json.loads(stored.value)
        annotations = (document.get("metadata") or {}).get("annotations") or {}
        spec = document.get("spec") or {}
        wanted = plan(spec, annotations, wish.addresses, wish.holders)
        wanted = publish(wanted, wish.published)
        self.node_warnings = wanted.warnings
        raw = self._render(stored, wanted, orch_refs(spec, self._kubernetes_node))
        if stored is not None and json.loads(raw) == document:
            return True
        outcome = self._store.transact(
            Transaction(
                (
                    ModRevisionIs(CLUSTER.path, cluster.mod_revision),
                    ModRevisionIs(self._key.path, 0 if stored is None else stored.mod_revision),
                ),
                (Put(self._key.path, raw),),
            )
        )
        if outcome.succeeded:
            log.info("node written", node=self._key.name, bgp=dict(wanted.bgp))
        return outcome.succeeded

    def _render(
        self, stored: KeyValue | None, wanted: NodePlan, references: list[object] | None
    ) -> bytes:
        annotations = {ANNOTATION: wanted.annotation}
        around = {
            "addresses": list(wanted.addresses) or None,
            "orchRefs": references,
            **wanted.vxlan,
        }
        if stored is None:
            spec = {"bgp": wanted.bgp, **around}
            return render_new(
                self._key,
                {name: value for name, value in spec.items() if value},
                uid=str(uuid.uuid4()),
                created_at=self._clock.wall().strftime("%Y-%m-%dT%H:%M:%SZ"),
                annotations=annotations,
                status={},
            )
        bgp = {name: wanted.bgp.get(name) for name in (*FIELDS.values(), IPIP_FIELD)}
        return rewrite(
            stored.value,
            spec={"bgp": bgp, **around},
            annotations=annotations,
        )


def _is_frozen(document: Mapping[str, object] | None) -> bool:
    """Whether the loop last said that the store is not to be trusted."""
    store = (document or {}).get("store")
    return isinstance(store, dict) and bool(store.get("frozen"))


def _guid(cluster: KeyValue) -> str:
    value = decode(CLUSTER, cluster.value)
    return value.cluster_guid if isinstance(value, ClusterInformation) else ""
