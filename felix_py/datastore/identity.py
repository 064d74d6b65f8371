"""Which cluster a store is of, and whether an operator told us to go on with it: pure.

ClusterInformation is created by an installer, never by a daemon: its absence means an empty or a
foreign store. The accept key is ours: `felixctl` writes it after a wipe or a restore.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import msgspec

from felix_py.datastore.codec import decode
from felix_py.datastore.keys import OWN, ResourceKey
from felix_py.datastore.model import ClusterInformation, Invalid, Kind
from felix_py.datastore.store import KeyValue

CLUSTER = ResourceKey(Kind.CLUSTER_INFORMATION, "default")
ACCEPTED = f"{OWN}accepted"
"""Holds {"clusterGUID", "revision", "nonce"}: go on with this cluster's store as it is."""


class Cause(StrEnum):
    """The kind of what a store is not followed for."""

    NONE = "none"
    NO_CLUSTER = "no cluster"
    """ClusterInformation is absent or cannot be read."""
    FOREIGN = "foreign"
    """It is of another cluster than ours."""
    WENT_BACK = "went back"
    """It is of our cluster, and not what was seen of it before."""
    UNSURE = "unsure"
    """It went back once, and nothing that was seen here could tell whether its data returned."""
    CLOSED = "closed"
    """datastoreReady is false; beside that nothing is wrong as far as this daemon knows."""


class Frozen(Exception):
    """The store is not to be trusted; `recheck`: only another list can tell that it is again."""

    def __init__(self, reason: str, cause: Cause, *, recheck: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.cause = cause
        self.recheck = recheck


@dataclass(frozen=True, slots=True)
class Identity:
    """What the two keys say; `problem` is why daemons must hold still, for people."""

    guid: str = ""
    problem: str | None = None
    accepted_guid: str = ""
    nonce: str = ""
    """Of the accept key; empty when there is none that can be read."""
    held: Mapping[str, KeyValue | None] = field(
        default_factory=lambda: {CLUSTER.path: None, ACCEPTED: None}
    )


class _Accepted(msgspec.Struct):
    guid: str = msgspec.field(name="clusterGUID")
    nonce: str
    revision: int = 0


def identity_of(cluster: KeyValue | None, accepted: KeyValue | None) -> Identity:
    """The identity that these two keys give a store."""
    guid, problem = _cluster(cluster)
    accept = _accepted(accepted)
    return Identity(
        guid=guid,
        problem=problem,
        accepted_guid=accept.guid if accept else "",
        nonce=accept.nonce if accept else "",
        held={CLUSTER.path: cluster, ACCEPTED: accepted},
    )


def accept_document(guid: str, revision: int, nonce: str) -> bytes:
    """The accept key's value; a fresh nonce each time, an old one is not obeyed again."""
    return msgspec.json.encode(_Accepted(guid=guid, nonce=nonce, revision=revision))


def _cluster(held: KeyValue | None) -> tuple[str, str | None]:
    if held is None:
        return "", (
            f"{CLUSTER.path} is absent: the store is empty or was never initialised; "
            "restore it, or initialise the cluster"
        )
    value = decode(CLUSTER, held.value)
    if isinstance(value, Invalid):
        return "", f"{CLUSTER.path}: {value.reason}"
    assert isinstance(value, ClusterInformation)
    if not value.datastore_ready:
        problem = "spec.datastoreReady is not true: closed by a recovery (felixctl status), or by an operator"
        return value.cluster_guid, f"{CLUSTER.path}: {problem}"
    return value.cluster_guid, None


def _accepted(held: KeyValue | None) -> _Accepted | None:
    if held is None:
        return None
    try:
        return msgspec.json.decode(held.value, type=_Accepted)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
