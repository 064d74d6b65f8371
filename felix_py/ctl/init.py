"""`felixctl init`: what must stand in etcd before the first node, as Calico's `EnsureInitialized`.

Daemons never create ClusterInformation: an etcd without it is one that lost its data, and they
freeze. Only a person (or an installer) says that a store is a new cluster.
"""

from __future__ import annotations

import uuid

from felix_py.ctl.connection import Session
from felix_py.ctl.policies import BUILT_IN
from felix_py.ctl.stored_text import now_text
from felix_py.datastore.codec import encode, render_new
from felix_py.datastore.keys import IPAMConfigKey, ResourceKey
from felix_py.datastore.model import IPAMConfig, Kind
from felix_py.datastore.store import ModRevisionIs, Put, Store, Transaction

CALICO_VERSION = "v3.32.1"
"""calicoctl refuses to work when this is not its own version."""
DEFAULT_CLUSTER_TYPE = "bgp"


def init(session: Session, cluster_type: str = DEFAULT_CLUSTER_TYPE) -> list[str]:
    """Create what is missing, change nothing that is there; what was done, for people."""
    with session.store() as store:
        return create_missing(store, cluster_type)


def create_missing(store: Store, cluster_type: str) -> list[str]:
    """The same on a store that is open."""
    done = [
        _create(store, path, raw, title) for path, raw, title in _wanted(cluster_type, now_text())
    ]
    return [text for text in done if text] or ["the datastore was initialised before"]


def _wanted(cluster_type: str, created_at: str) -> list[tuple[str, bytes, str]]:
    cluster = ResourceKey(Kind.CLUSTER_INFORMATION, "default")
    spec = {
        "clusterGUID": uuid.uuid4().hex,
        "clusterType": cluster_type,
        "calicoVersion": CALICO_VERSION,
        "datastoreReady": True,
    }
    uid = str(uuid.uuid4())
    config = encode(IPAMConfig(kubevirt_persistence="Enabled"))
    return [
        *((_tier_path(name), _tier(name, created_at), f"Tier({name})") for name in BUILT_IN),
        (IPAMConfigKey().path, config, "IPAM configuration"),
        (
            cluster.path,
            render_new(cluster, spec, uid=uid, created_at=created_at),
            f"ClusterInformation(default) with GUID {spec['clusterGUID']}",
        ),
    ]


def _create(store: Store, path: str, raw: bytes, title: str) -> str:
    outcome = store.transact(Transaction((ModRevisionIs(path, 0),), (Put(path, raw),)))
    return f"{title} created" if outcome.succeeded else ""


def _tier_path(name: str) -> str:
    return ResourceKey(Kind.TIER, name).path


def _tier(name: str, created_at: str) -> bytes:
    key = ResourceKey(Kind.TIER, name)
    return render_new(key, BUILT_IN[name], uid=str(uuid.uuid4()), created_at=created_at)
