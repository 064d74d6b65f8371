"""What etcd holds before the first daemon starts: the cluster, its pools, BGP and peers, and Node labels.

Documents come from our codec; they are written by etcdctl. A node's labels and AS number are the
administrator's, so the Node objects stand before felix fills in their addresses.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from felix_py.datastore import codec, codec_documents
from felix_py.datastore.keys import ResourceKey
from felix_py.datastore.model import Invalid, Kind
from felix_py.lab import etcd
from felix_py.lab.errors import LabError
from felix_py.lab.home import Home
from felix_py.lab.topology import NodeSpec, RackSpec, Topology

POOL_DEFAULTS: Mapping[str, object] = {
    "vxlanMode": "Never",
    "ipipMode": "Never",
    "blockSize": 26,
    "nodeSelector": "all()",
    "allowedUses": ["Workload", "Tunnel"],
    "assignmentMode": "Automatic",
}
"""What Calico's clients store with every pool."""
CALICO_VERSION = "v3.32.1"
"""Whose data model this is; Calico's own components look at it."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """An object as it should be stored."""

    key: ResourceKey
    spec: Mapping[str, object]
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)


def objects(topology: Topology, cluster_guid: str) -> Iterator[Wanted]:
    """Everything the topology asks for."""
    yield Wanted(
        ResourceKey(Kind.CLUSTER_INFORMATION, "default"),
        {
            "clusterGUID": cluster_guid,
            "clusterType": "bgp",
            "calicoVersion": CALICO_VERSION,
            "datastoreReady": True,
        },
    )
    yield Wanted(
        ResourceKey(Kind.BGP_CONFIGURATION, "default"),
        {
            "logSeverityScreen": "Info",
            "nodeToNodeMeshEnabled": topology.mesh,
            "asNumber": topology.as_number,
            "serviceLoadBalancerAggregation": "Enabled",
        },
    )
    for pool in topology.pools:
        yield Wanted(ResourceKey(Kind.IP_POOL, pool.name), {**POOL_DEFAULTS, **pool.spec})
    for peer in topology.peers:
        key = ResourceKey(Kind.BGP_PEER, peer.name)
        yield Wanted(key, peer.spec, annotations=peer.annotations)
    for rack, node in topology.nodes:
        yield _node(rack, node)


def documents(topology: Topology, cluster_guid: str, at: datetime) -> dict[str, bytes]:
    """Keys and values. Raises LabError for an object that our daemons would not accept."""
    made = {}
    for wanted in objects(topology, cluster_guid):
        raw = codec_documents.render_new(
            wanted.key,
            wanted.spec,
            uid=str(uuid.uuid4()),
            created_at=at.strftime("%Y-%m-%dT%H:%M:%SZ"),
            labels=wanted.labels,
            annotations=wanted.annotations,
        )
        value = codec.decode(wanted.key, raw)
        if isinstance(value, Invalid):
            raise LabError(f"{wanted.key.kind.value} {wanted.key.name}: {value.reason}")
        made[wanted.key.path] = raw
    return made


def write(home: Home, topology: Topology) -> None:
    """Put them into the lab's etcd."""
    made = documents(topology, uuid.uuid4().hex, datetime.now(UTC))
    for key, raw in made.items():
        etcd.ctl(home, topology, ["put", key], stdin=raw.decode())


def _node(rack: RackSpec, node: NodeSpec) -> Wanted:
    spec = {} if node.as_number is None else {"bgp": {"asNumber": node.as_number}}
    labels = {"kubernetes.io/hostname": node.name, "rack": rack.name}
    return Wanted(ResourceKey(Kind.NODE, node.name), spec, labels)
