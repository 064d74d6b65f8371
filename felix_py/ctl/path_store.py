"""What explain needs of etcd, read at one revision, decoded as the daemons decode it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from felix_py.ctl.calc.world import World, title
from felix_py.ctl.errors import CommandError, NotThere
from felix_py.ctl.findings import DAEMONS
from felix_py.datastore.codec import decode
from felix_py.datastore.felix_configuration import FelixConfiguration
from felix_py.datastore.keys import (
    ASSIGNMENT,
    HOSTS,
    AffinityKey,
    BlockKey,
    Key,
    ResourceKey,
    StatusKey,
    kind_prefix,
    parse,
)
from felix_py.datastore.model import (
    Block,
    BlockAffinity,
    Invalid,
    IPAddress,
    IPPool,
    Kind,
    Node,
    NodeName,
    WorkloadEndpoint,
)
from felix_py.datastore.model_bgp import BGPConfiguration
from felix_py.datastore.model_own import DaemonStatus
from felix_py.datastore.store import Store
from felix_py.datastore.values import Value

KINDS = (Kind.IP_POOL, Kind.NODE, Kind.BGP_CONFIGURATION, Kind.FELIX_CONFIGURATION)


@dataclass(slots=True)
class Reader:
    """Reads a store at the revision of its first read."""

    store: Store
    revision: int = 0
    invalid: dict[str, str] = field(default_factory=dict)

    def values(self, prefix: str) -> Iterator[tuple[Key, Value]]:
        """Every valid value below a prefix; the invalid ones are noted."""
        listing = self.store.list(prefix, revision=self.revision)
        self.revision = self.revision or listing.revision
        for item in listing.items:
            key = parse(item.key)
            value = None if key is None else decode(key, item.value)
            if isinstance(value, Invalid):
                self.invalid[item.key] = value.reason
            elif key is not None and value is not None:
                yield key, value


def endpoints(reader: Reader) -> dict[ResourceKey, WorkloadEndpoint]:
    """All endpoints."""
    found = reader.values(kind_prefix(Kind.WORKLOAD_ENDPOINT))
    return {
        key: value
        for key, value in found
        if isinstance(key, ResourceKey) and isinstance(value, WorkloadEndpoint)
    }


def named(
    found: dict[ResourceKey, WorkloadEndpoint], text: str, namespace: str
) -> tuple[ResourceKey, WorkloadEndpoint]:
    """The endpoint that a user means: NAME or NAMESPACE/NAME of a pod, workload, endpoint or container.

    Raises NotThere, or CommandError when it could be several.
    """
    first, slash, second = text.partition("/")
    name, where = (second, first) if slash else (first, namespace)
    matching = [
        (key, value)
        for key, value in found.items()
        if where in {"", key.namespace}
        and (name in {value.pod, value.workload, key.name} or _is_container(value, name))
    ]
    if not matching:
        raise NotThere(
            f"{text}: no endpoint in etcd is of such a pod; give NAMESPACE/NAME or an IP"
        )
    pods = {title(key, value) for key, value in matching}
    if len(pods) > 1:
        raise CommandError(f"{text}: could be {', '.join(sorted(pods))}; give NAMESPACE/NAME")
    return min(matching, key=lambda item: (item[1].endpoint, item[0].path))


def read(
    reader: Reader, all_endpoints: dict[ResourceKey, WorkloadEndpoint], ends: Iterable[IPAddress]
) -> World:
    """Everything about these addresses but the nodes' facts."""
    addresses = list(ends)
    world = fleet(reader)
    blocks = [
        value
        for key, value in reader.values(ASSIGNMENT)
        if isinstance(key, BlockKey)
        and isinstance(value, Block)
        and any(address in key.cidr for address in addresses)
    ]
    cidrs = {block.cidr for block in blocks}
    affinities = {
        (key.node, key.cidr): value.state
        for key, value in reader.values(HOSTS)
        if isinstance(key, AffinityKey) and isinstance(value, BlockAffinity) and key.cidr in cidrs
    }
    claims = {
        key: value
        for key, value in all_endpoints.items()
        if any(address in net for address in addresses for net in value.networks)
    }
    return replace(
        world,
        endpoints=claims,
        blocks=tuple(blocks),
        affinities=affinities,
        invalid=dict(reader.invalid),
    )


def with_statuses(world: World, store: Store, nodes: Iterable[NodeName]) -> World:
    """The same with what these nodes' daemons published last."""
    keys = [StatusKey(node, daemon) for node in nodes for daemon in DAEMONS]
    found = store.get_many([key.path for key in keys])[0] if keys else {}
    statuses: dict[NodeName, dict[str, dict[str, object]]] = {}
    for key in keys:
        stored = found.get(key.path)
        value = None if stored is None else decode(key, stored.value)
        if isinstance(value, DaemonStatus):
            statuses.setdefault(key.node, {})[key.daemon] = dict(value.document)
    return replace(world, statuses=statuses)


def fleet(reader: Reader) -> World:
    """Pools, nodes and configurations."""
    pools: list[IPPool] = []
    nodes: dict[NodeName, Node] = {}
    felix: dict[str, FelixConfiguration] = {}
    bgp: dict[str, BGPConfiguration] = {}
    for kind in KINDS:
        for _, value in reader.values(kind_prefix(kind)):
            match value:
                case IPPool():
                    pools.append(value)
                case Node():
                    nodes[value.name] = value
                case FelixConfiguration():
                    felix[value.meta.name] = value
                case BGPConfiguration():
                    bgp[value.meta.name] = value
                case _:
                    continue
    return World(pools=tuple(pools), nodes=nodes, felix=felix, bgp=bgp)


def _is_container(value: WorkloadEndpoint, name: str) -> bool:
    return len(name) >= MIN_CONTAINER_CHARACTERS and value.container_id.startswith(name)


MIN_CONTAINER_CHARACTERS = 8
"""A shorter beginning of a container's id is not taken for one."""
