"""The port's values to etcd's messages and back; nothing here touches the network."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from felix_py.datastore.etcd_protobuf import Message, rpc
from felix_py.datastore.store import (
    Compare,
    CreateRevisionIs,
    Event,
    KeyValue,
    ModRevisionIs,
    Outcome,
    Put,
    Transaction,
    Write,
)

_COMPARE = rpc.Compare
_DELETED = 1
"""mvccpb.Event.EventType DELETE."""


def prefix_end(prefix: str) -> bytes:
    """etcd's range_end for all keys of a prefix: its last byte plus one; no prefix is all keys."""
    raw = prefix.encode().rstrip(b"\xff")
    return raw[:-1] + bytes([raw[-1] + 1]) if raw else b"\0"


def prefix_start(prefix: str) -> bytes:
    """etcd's key for a prefix; the empty prefix starts at the lowest key."""
    return prefix.encode() or b"\0"


def transaction_request(transaction: Transaction) -> Message:
    """A TxnRequest."""
    return rpc.TxnRequest(
        compare=[_compare(compare) for compare in transaction.compares],
        success=[_write(write) for write in transaction.writes],
        failure=[_get(key) for key in transaction.on_failure_get],
    )


def reading_request(keys: Sequence[str]) -> Message:
    """A TxnRequest that reads keys at one revision."""
    return rpc.TxnRequest(success=[_get(key) for key in keys])


def outcome(transaction: Transaction, response: Message) -> Outcome:
    """What a TxnResponse says."""
    found = {} if response.succeeded else read_keys(transaction.on_failure_get, response)
    return Outcome(succeeded=response.succeeded, revision=response.header.revision, found=found)


def read_keys(keys: Sequence[str], response: Message) -> dict[str, KeyValue | None]:
    """The keys read by a TxnResponse's branch, in the order asked."""
    return {
        key: next(key_values(each.response_range.kvs), None)
        for key, each in zip(keys, response.responses, strict=True)
    }


def key_values(items: Iterable[Message]) -> Iterator[KeyValue]:
    """Keys that are UTF-8 text; others are nobody's that we know."""
    for item in items:
        try:
            key = item.key.decode()
        except UnicodeDecodeError:
            continue
        yield KeyValue(key, item.value, item.create_revision, item.mod_revision, item.version)


def events(items: Iterable[Message]) -> Iterator[Event]:
    """A WatchResponse's events; a deletion carries its key and revision only."""
    for item in items:
        for value in key_values((item.kv,)):
            held = None if item.type == _DELETED else value
            yield Event(value.key, held, value.mod_revision)


def _compare(compare: Compare) -> Message:
    if isinstance(compare, ModRevisionIs):
        return _COMPARE(
            result=_COMPARE.EQUAL,
            target=_COMPARE.MOD,
            key=compare.key.encode(),
            mod_revision=compare.revision,
        )
    if isinstance(compare, CreateRevisionIs):
        return _COMPARE(
            result=_COMPARE.EQUAL,
            target=_COMPARE.CREATE,
            key=compare.key.encode(),
            create_revision=compare.revision,
        )
    return _COMPARE(
        result=_COMPARE.LESS,
        target=_COMPARE.MOD,
        key=prefix_start(compare.prefix),
        range_end=prefix_end(compare.prefix),
        mod_revision=compare.revision + 1,
    )


def _write(write: Write) -> Message:
    if isinstance(write, Put):
        put = rpc.PutRequest(key=write.key.encode(), value=write.value)
        return rpc.RequestOp(request_put=put)
    return rpc.RequestOp(request_delete_range=rpc.DeleteRangeRequest(key=write.key.encode()))


def _get(key: str) -> Message:
    return rpc.RequestOp(request_range=rpc.RangeRequest(key=key.encode()))
