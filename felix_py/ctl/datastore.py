"""`felixctl datastore accept`: a person says that the present store is the one to go on with."""

from __future__ import annotations

import secrets

from felix_py.ctl.connection import Session
from felix_py.ctl.errors import CommandError
from felix_py.datastore.codec import decode
from felix_py.datastore.identity import ACCEPTED, accept_document
from felix_py.datastore.keys import ResourceKey
from felix_py.datastore.model import ClusterInformation, Kind
from felix_py.datastore.store import ModRevisionIs, Put, Store, Transaction

CLUSTER = ResourceKey(Kind.CLUSTER_INFORMATION, "default")


def accept(session: Session) -> str:
    """Write the accept key for the store as it is now; what was done, for people."""
    with session.store() as store:
        cluster, stands_at, revision = cluster_of(store)
        accepted = accept_document(cluster.cluster_guid, revision, secrets.token_hex(16))
        outcome = store.transact(
            Transaction(
                (ModRevisionIs(CLUSTER.path, stands_at),),
                (Put(ACCEPTED, accepted),),
            )
        )
    if not outcome.succeeded:
        raise CommandError(
            "ClusterInformation(default): changed just now; look at it and try again"
        )
    ready = "" if cluster.datastore_ready else "; datastoreReady is false, so nothing goes on yet"
    return (
        f"accepted cluster {cluster.cluster_guid} at revision {revision}: daemons that were frozen go "
        f"on with it{ready}"
    )


def cluster_of(store: Store) -> tuple[ClusterInformation, int, int]:
    """The store's own, where it stands, and the store's revision. Raises CommandError."""
    found, revision = store.get_many([CLUSTER.path])
    stored = found[CLUSTER.path]
    cluster = None if stored is None else decode(CLUSTER, stored.value)
    if stored is None or not isinstance(cluster, ClusterInformation):
        raise CommandError(
            "ClusterInformation(default): not there or invalid; restore the data, or run "
            "`felixctl init` if this is to be a new cluster"
        )
    return cluster, stored.mod_revision, revision
