"""`felixctl version`: ours, and what the cluster says of itself."""

from __future__ import annotations

from felix_py.ctl.connection import Session
from felix_py.datastore.codec import decode
from felix_py.datastore.errors import StoreAway
from felix_py.datastore.keys import ResourceKey
from felix_py.datastore.model import ClusterInformation, Kind
from felix_py.runtime.version import VERSION

CLUSTER = ResourceKey(Kind.CLUSTER_INFORMATION, "default")


def version(session: Session) -> list[str]:
    """Lines for people; works with etcd away."""
    lines = [f"Client Version:    v{VERSION}"]
    try:
        with session.store() as store:
            stored = store.get(CLUSTER.path)
    except StoreAway as error:
        return [*lines, f"Cluster:           etcd does not answer ({error})"]
    cluster = None if stored is None else decode(CLUSTER, stored.value)
    if not isinstance(cluster, ClusterInformation):
        return [*lines, "Cluster:           not initialised; run `felixctl init`"]
    return [
        *lines,
        f"Cluster Calico Version:    {cluster.calico_version}",
        f"Cluster Type:      {cluster.cluster_type}",
        f"Cluster GUID:      {cluster.cluster_guid}",
    ]
