"""What of the store IPAM follows by a watch. Pure."""

from __future__ import annotations

from felix_py.datastore.keys import IPAMConfigKey, ResourceKey, affinity_prefix, kind_prefix
from felix_py.datastore.model import Kind, NodeName

CONFIG = IPAMConfigKey()
CLUSTER = ResourceKey(Kind.CLUSTER_INFORMATION, "default")
RESERVATIONS = kind_prefix(Kind.IP_RESERVATION)


def watched_prefixes(node: NodeName) -> tuple[str, ...]:
    """What the allocator's Syncer must watch (ClusterInformation is the Syncer's own concern)."""
    return (
        kind_prefix(Kind.IP_POOL),
        kind_prefix(Kind.FELIX_CONFIGURATION),
        RESERVATIONS,
        CONFIG.path,
        ResourceKey(Kind.NODE, node).path,
        affinity_prefix(node),
        CLUSTER.path,
    )
