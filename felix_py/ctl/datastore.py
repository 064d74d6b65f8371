"""`felixctl datastore accept`: a person says that the present store is the one to go on with."""

from __future__ import annotations

from felix_py.ctl.connection import Session
from felix_py.ctl.errors import CommandError
from felix_py.datastore import gate
from felix_py.datastore.gate import Gate
from felix_py.datastore.store import Store
from ipam import recovering


def accept(session: Session) -> str:
    """Write the accept key for the store as it is now; what was done, for people."""
    with session.store() as store:
        found, revision = gate_of(store)
        if not recovering.accept_and_open(store, found, revision, ()):
            raise CommandError(
                "ClusterInformation(default): changed just now; look at it and try again"
            )
    return accepted_text(found, revision)


def accepted_text(found: Gate, revision: int) -> str:
    """What an accept did, for people; `found` is the gate before it."""
    closed = not found.is_open and not found.ours
    ready = "; datastoreReady is false, so nothing goes on yet" if closed else ""
    return (
        f"accepted cluster {found.cluster.cluster_guid} at revision {revision}: daemons that were frozen "
        f"go on with it{ready}"
    )


def gate_of(store: Store) -> tuple[Gate, int]:
    """The store's ClusterInformation, and the store's revision. Raises CommandError."""
    found, revision = gate.look(store)
    if found is None:
        raise CommandError(
            "ClusterInformation(default): not there or invalid; restore the data, or run "
            "`felixctl init` if this is to be a new cluster"
        )
    return found, revision
