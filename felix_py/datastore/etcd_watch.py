"""One gRPC stream with a watch per prefix, read by a thread of its own into a bounded queue."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Sequence

import grpc

from felix_py.datastore import etcd_messages
from felix_py.datastore.errors import RevisionCompacted, StoreAway, StoreRefused
from felix_py.datastore.etcd_channel import Cluster, meaning
from felix_py.datastore.etcd_protobuf import Message, rpc
from felix_py.datastore.store import Event, EventBatch

MAX_WAITING_EVENTS = 50_000
"""At the bound the stream is not read on; HTTP/2's flow control then makes etcd wait."""
MAX_BATCH_EVENTS = 10_000
"""The most that one `next` hands out, give or take one message of etcd's."""
JOIN_SECONDS = 5.0


class EtcdWatch:
    """A store.Watch. etcd tells of a lost leader because of the metadata `hasleader`."""

    def __init__(
        self,
        cluster: Cluster,
        prefixes: Sequence[str],
        after_revision: int,
        forget: Callable[[EtcdWatch], None],
    ) -> None:
        self._cluster = cluster
        self._forget = forget
        self._only_one = len(prefixes) == 1
        self._requests: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._ready = threading.Condition()
        self._batches: deque[EventBatch] = deque()
        self._waiting_events = 0
        self._error: Exception | None = None
        self._closed = False
        for prefix in prefixes:
            self._requests.put(_create(prefix, after_revision))
        try:
            self._member, metadata = cluster.stream()
        except grpc.RpcError as error:
            raise meaning(error) from error
        self._call = self._member.watch.Watch(
            iter(self._requests.get, None), metadata=(("hasleader", "true"), *metadata)
        )
        self._reader = threading.Thread(target=self._read, name="etcd-watch", daemon=True)
        self._reader.start()

    def next(self, timeout_seconds: float) -> EventBatch | None:
        """The next batch, None when nothing came in time."""
        events: list[Event] = []
        progress = 0
        with self._ready:
            self._ready.wait_for(lambda: self._batches or self._error, timeout_seconds)
            while self._batches and len(events) < MAX_BATCH_EVENTS:
                batch = self._batches.popleft()
                self._waiting_events -= len(batch.events)
                events.extend(batch.events)
                if not batch.events:
                    progress = batch.revision
            self._ready.notify_all()
            if events:
                return EventBatch(tuple(events), max(event.revision for event in events))
            if self._error is not None:
                raise self._error
        return EventBatch((), progress) if progress else None

    def close(self) -> None:
        """End the stream and its thread; safe to repeat."""
        with self._ready:
            self._closed = True
            self._error = self._error or StoreAway("the watch was closed")
            self._ready.notify_all()
        self._requests.put(None)
        self._call.cancel()
        self._reader.join(JOIN_SECONDS)
        self._forget(self)

    def _read(self) -> None:
        error: Exception = StoreAway("etcd ended the watch")
        try:
            for response in self._call:
                if response.canceled:
                    error = _cancelled(response)
                    break
                batch = self._understood(response)
                if batch is None:
                    continue
                with self._ready:
                    self._batches.append(batch)
                    self._waiting_events += len(batch.events)
                    self._ready.notify_all()
                    self._ready.wait_for(self._has_room)
        except grpc.RpcError as caught:
            error = meaning(caught)
            if isinstance(error, StoreAway) and not self._closed:
                self._cluster.failed(self._member)
        with self._ready:
            self._error = self._error or error
            self._ready.notify_all()
        self._requests.put(None)
        self._call.cancel()

    def _understood(self, response: Message) -> EventBatch | None:
        """None when it tells nothing: a watch was created; every key in it is passed over;
        one of several prefixes has come so far without changes."""
        if response.events:
            events = tuple(etcd_messages.events(response.events))
            # The header's revision is the store's, not how far this watch has come.
            return EventBatch(events, events[-1].revision) if events else None
        told = self._only_one and not response.created
        return EventBatch((), response.header.revision) if told else None

    def _has_room(self) -> bool:
        return self._closed or self._waiting_events < MAX_WAITING_EVENTS


def _create(prefix: str, after_revision: int) -> Message:
    return rpc.WatchRequest(
        create_request=rpc.WatchCreateRequest(
            key=etcd_messages.prefix_start(prefix),
            range_end=etcd_messages.prefix_end(prefix),
            start_revision=after_revision + 1,
            progress_notify=True,
        )
    )


def _cancelled(response: Message) -> Exception:
    """Why etcd ended a watch; the reason is text only."""
    if response.compact_revision:
        return RevisionCompacted(f"history below {response.compact_revision} is gone; list again")
    if "permission denied" in response.cancel_reason:
        return StoreRefused("watch: permission denied; give our user's role read on the prefix")
    return StoreAway(f"etcd ended the watch: {response.cancel_reason or 'no reason given'}")
