"""What a plan needs of etcd, read at one revision, decoded as the daemons decode it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec

from felix_py.ctl.calc.plan_cluster import PLANNED, Cluster
from felix_py.datastore.calc.reachability import Backend
from felix_py.datastore.codec import decode, decode_foreign_block
from felix_py.datastore.felix_configuration import FelixConfiguration
from felix_py.datastore.keys import (
    HOSTS,
    AffinityKey,
    BlockKey,
    ResourceKey,
    StatusKey,
    block_prefix,
    kind_prefix,
    parse,
)
from felix_py.datastore.model import (
    AffinityState,
    BlockAffinity,
    IPNetwork,
    IPPool,
    Kind,
    Node,
    NodeName,
    PoolName,
    Profile,
    WorkloadEndpoint,
)
from felix_py.datastore.model_bgp import BGPConfiguration, BGPPeer
from felix_py.datastore.store import (
    MAX_OPERATIONS,
    Compare,
    KeyValue,
    ModRevisionIs,
    PrefixUnchangedSince,
    Store,
)
from felix_py.datastore.territory import Holding
from felix_py.kube_api.calico_names import PREFIX

T = TypeVar("T")

NAMESPACE_PROFILE = "kns."
NAMESPACE_LABEL = "pcns."
"""How the profile of a namespace carries the namespace's labels (Calico v3.32)."""

MOST_KEYS_COMPARED = 60
"""Each key is compared, so that one that vanished is noticed, where there are no more; else each but the
nodes', else none. etcd takes 128 compares in a transaction."""


class _Status(msgspec.Struct):
    """What is looked at of what a BGP agent published."""

    backend: str = Backend.BGP.value


_STATUS = msgspec.json.Decoder(_Status)


@dataclass(frozen=True, slots=True)
class Read:
    """The cluster at a revision, and what it was made of.

    objects: those of the kinds that are planned, by key.
    """

    cluster: Cluster
    revision: int
    objects: Mapping[str, KeyValue] = field(default_factory=dict)

    def compares(self, since: int, written: frozenset[str]) -> tuple[Compare, ...]:
        """That all this is still so; `since`: the revision at which it was last known to be,
        `written`: keys that are written or were written by us."""
        seen = [item for path, item in self.objects.items() if path not in written]
        small = [item for item in seen if not item.key.startswith(kind_prefix(Kind.NODE))]
        fitting = (each for each in (seen, small) if len(each) <= MOST_KEYS_COMPARED)
        keys = next(fitting, ())
        return (
            *(PrefixUnchangedSince(kind_prefix(kind), since) for kind in sorted(PLANNED)),
            *(ModRevisionIs(item.key, item.mod_revision) for item in keys),
        )


NOTHING_READ = Read(Cluster(), 0)
"""Where nothing is to be written, nothing is looked at."""


class _Reading:
    """One read of everything; what is Invalid counts as absent, as with the daemons."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.revision = 0
        self.objects: dict[str, KeyValue] = {}

    def items(self, prefix: str) -> tuple[KeyValue, ...]:
        """All keys of a prefix, at the revision of the first read."""
        listing = self._store.list(prefix, revision=self.revision)
        self.revision = self.revision or listing.revision
        return listing.items

    def of(self, kind: Kind, wanted: type[T]) -> dict[str, T]:
        """Objects of a kind by name."""
        found: dict[str, T] = {}
        for item in self.items(kind_prefix(kind)):
            if kind in PLANNED:
                self.objects[item.key] = item
            key = parse(item.key)
            value = None if key is None else decode(key, item.value)
            if isinstance(key, ResourceKey) and isinstance(value, wanted):
                found[key.name] = value
        return found

    def endpoints(self) -> dict[NodeName, dict[ResourceKey, WorkloadEndpoint]]:
        """Endpoints by node."""
        found: dict[NodeName, dict[ResourceKey, WorkloadEndpoint]] = defaultdict(dict)
        for item in self.items(kind_prefix(Kind.WORKLOAD_ENDPOINT)):
            key = parse(item.key)
            value = None if key is None else decode(key, item.value)
            if isinstance(key, ResourceKey) and isinstance(value, WorkloadEndpoint):
                found[value.node][key] = value
        return found

    def blocks(self) -> dict[NodeName, dict[IPNetwork, Holding]]:
        """Blocks by the node that they are affine to."""
        found: dict[NodeName, dict[IPNetwork, Holding]] = defaultdict(dict)
        for version in (4, 6):
            for item in self.items(block_prefix(version)):
                key = parse(item.key)
                if isinstance(key, BlockKey):
                    value = decode_foreign_block(key, item.value)
                    if isinstance(value, Holding) and value.host is not None:
                        found[value.host][key.cidr] = value
        return found

    def affinities(self) -> dict[NodeName, dict[IPNetwork, AffinityState]]:
        """Affinity keys by node."""
        found: dict[NodeName, dict[IPNetwork, AffinityState]] = defaultdict(dict)
        for item in self.items(HOSTS):
            key = parse(item.key)
            value = None if key is None else decode(key, item.value)
            if isinstance(key, AffinityKey) and isinstance(value, BlockAffinity):
                found[key.node][key.cidr] = value.state
        return found

    def backends(self, nodes: Iterable[NodeName]) -> dict[NodeName, Backend]:
        """What BGP agents said of their node's backend."""
        keys = [StatusKey(node, "bgp") for node in nodes]
        found: dict[NodeName, Backend] = {}
        for start in range(0, len(keys), MAX_OPERATIONS):
            part = keys[start : start + MAX_OPERATIONS]
            values, _ = self._store.get_many([key.path for key in part])
            for key in part:
                item = values[key.path]
                if item is not None:
                    found[key.node] = _backend(item.value)
        return found


def read(store: Store, *, with_pods: bool) -> Read:
    """The cluster now. `with_pods`: with what nodes and pods hold, which is most of it."""
    reading = _Reading(store)
    nodes = {NodeName(name): node for name, node in reading.of(Kind.NODE, Node).items()}
    pools = reading.of(Kind.IP_POOL, IPPool)
    cluster = Cluster(
        pools={PoolName(name): pool for name, pool in pools.items()},
        nodes=nodes,
        configurations=reading.of(Kind.BGP_CONFIGURATION, BGPConfiguration),
        peers=reading.of(Kind.BGP_PEER, BGPPeer),
        felix=reading.of(Kind.FELIX_CONFIGURATION, FelixConfiguration),
        namespaces=_namespaces(reading.of(Kind.PROFILE, Profile)),
        endpoints=reading.endpoints() if with_pods else {},
        blocks=reading.blocks() if with_pods else {},
        affinities=reading.affinities() if with_pods else {},
        backends=reading.backends(nodes),
    )
    return Read(cluster, reading.revision, reading.objects)


def _namespaces(profiles: Mapping[str, Profile]) -> dict[str, Mapping[str, str]]:
    """Namespaces' labels as the CNI server gives them to namespaceSelectors."""
    found: dict[str, Mapping[str, str]] = {}
    for name, profile in profiles.items():
        if name.startswith(NAMESPACE_PROFILE):
            namespace = name.removeprefix(NAMESPACE_PROFILE)
            labels = {
                label.removeprefix(NAMESPACE_LABEL): text
                for label, text in profile.labels_to_apply.items()
                if label.startswith(NAMESPACE_LABEL)
            }
            found[namespace] = {**labels, PREFIX + "name": namespace}
    return found


def _backend(raw: bytes) -> Backend:
    try:
        return Backend(_STATUS.decode(raw).backend)
    except (msgspec.DecodeError, ValueError):
        return Backend.BGP
