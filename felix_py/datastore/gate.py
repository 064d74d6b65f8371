"""The gate: ClusterInformation's datastoreReady, which Calico's and our daemons obey.

We close it when the store went back, so that nobody without a memory of it (a node that was started
again, a Calico node) gives out addresses that are in use. What we closed is told by a key of ours that was
written in the same transaction and so stands at the same revision; whoever writes ClusterInformation
after us makes the gate their own. An operator's own false is never opened here.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from felix_py.datastore.codec import decode, rewrite
from felix_py.datastore.identity import CLUSTER
from felix_py.datastore.keys import RECOVERY_GATE
from felix_py.datastore.model import ClusterInformation
from felix_py.datastore.store import (
    Compare,
    Delete,
    KeyValue,
    ModRevisionIs,
    Put,
    Store,
    Transaction,
    Write,
)


@dataclass(frozen=True, slots=True)
class Gate:
    """ClusterInformation as it was read, and whether it is closed, by us or by another."""

    cluster: ClusterInformation
    stored: KeyValue
    ours: bool
    """We closed it, and nobody wrote it since."""
    marked: bool = False
    """We closed it once; open all the same: somebody else opened it."""

    @property
    def is_open(self) -> bool:
        """Whether daemons may write."""
        return self.cluster.datastore_ready

    @property
    def unchanged(self) -> Compare:
        """Holds while nobody wrote ClusterInformation."""
        return ModRevisionIs(CLUSTER.path, self.stored.mod_revision)

    def opening(self) -> tuple[Write, ...]:
        """What opens it, if it was closed by us, and takes our mark away; with `unchanged`."""
        opened = Put(CLUSTER.path, rewrite(self.stored.value, spec={"datastoreReady": True}))
        return (*((opened,) if self.ours else ()), Delete(RECOVERY_GATE))


def gate_of(cluster: KeyValue | None, mark: KeyValue | None) -> Gate | None:
    """The gate that CLUSTER's and RECOVERY_GATE's values make; None: no cluster that can be read."""
    value = None if cluster is None else decode(CLUSTER, cluster.value)
    if cluster is None or not isinstance(value, ClusterInformation):
        return None
    ours = mark is not None and mark.mod_revision == cluster.mod_revision
    return Gate(value, cluster, ours and not value.datastore_ready, mark is not None)


def look(store: Store) -> tuple[Gate | None, int]:
    """The gate as it stands, and the store's revision."""
    found, revision = store.get_many((CLUSTER.path, RECOVERY_GATE))
    return gate_of(found[CLUSTER.path], found[RECOVERY_GATE]), revision


def close(store: Store, gate: Gate, by: str, reason: str) -> bool:
    """Close it unless somebody wrote it since. Raises StoreAway, StoreRefused, RefusedError."""
    closed = rewrite(gate.stored.value, spec={"datastoreReady": False})
    mark = json.dumps({"by": by, "reason": reason}).encode()
    writes = (Put(CLUSTER.path, closed), Put(RECOVERY_GATE, mark))
    return store.transact(Transaction((gate.unchanged,), writes)).succeeded
