"""Pure: on which terms routes are learned, prepared so that one path is judged in microseconds."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from heapq import nsmallest
from typing import Protocol

from bgp.calc.configuration import as_of, effective
from bgp.calc.felix_routes import FelixRoutes
from bgp.model import IPAddress, IPNetwork
from felix_py.datastore.calc.reachability import Terms as ReachTerms
from felix_py.datastore.model import Block, EncapMode, IPPool, Node, NodeName, PoolName
from felix_py.datastore.model_bgp import BGPConfiguration

MAX_NEXT_HOPS = 16
"""Of one route; of more equal paths those with the smallest next hops are used."""

Rank = tuple[int, int, int]
"""A prefix as (version, first address, length): the order in which a prefix limit counts."""


class Facts(Protocol):
    """The part of the snapshot that learned routes are a function of."""

    @property
    def me(self) -> NodeName:
        """This node."""
        ...

    @property
    def nodes(self) -> Mapping[NodeName, Node]:
        """Every node."""
        ...

    @property
    def pools(self) -> Mapping[PoolName, IPPool]:
        """Every pool."""
        ...

    @property
    def configurations(self) -> Mapping[str, BGPConfiguration]:
        """BGPConfiguration by name."""
        ...

    @property
    def blocks(self) -> Mapping[IPNetwork, Block]:
        """Blocks affine to this node."""
        ...

    @property
    def owners(self) -> Mapping[IPNetwork, NodeName]:
        """Every block and every borrowed address -> the node that has it."""
        ...

    @property
    def reach_terms(self) -> ReachTerms:
        """Backend and switches by which routes are felix's or BGP's."""
        ...


@dataclass(frozen=True, slots=True)
class Policy:
    """What the operator's settings say of learned routes."""

    multipath: bool = True
    accept_default_route: bool = False
    allowed_ranges: tuple[IPNetwork, ...] = ()
    """Ranges outside the pools from which routes are learned too."""


@dataclass(frozen=True, slots=True)
class Range:
    """A range routes may be learned in, as integers. The pool is None for an allowed range."""

    first: int
    mask: int
    length: int
    pool: IPPool | None


@dataclass(frozen=True, slots=True)
class Terms:
    """Everything a path is judged by; built anew when one of its sources changes."""

    me: NodeName
    policy: Policy
    ranges: Mapping[int, tuple[Range, ...]]
    """By IP version, the narrowest first."""
    own_blocks: Mapping[tuple[int, int], Mapping[int, Block]]
    """(version, prefix length) -> first address -> block."""
    node_at: Mapping[IPAddress, NodeName]
    as_numbers: Mapping[NodeName, int]
    own_addresses: frozenset[IPAddress]
    local_subnets: tuple[IPNetwork, ...]
    cluster_id: str
    felix: FelixRoutes
    limits: Mapping[IPAddress, Rank] = field(default_factory=dict)
    """Of a peer over its prefix limit: the last prefix that still counts."""

    def range_of(self, version: int, first: int, length: int) -> Range | None:
        """The narrowest range that holds a prefix."""
        for candidate in self.ranges[version]:
            if candidate.length <= length and first & candidate.mask == candidate.first:
                return candidate
        return None

    def own_block(self, version: int, first: int, length: int) -> Block | None:
        """Our block that the prefix equals or lies in."""
        bits = 32 if version == 4 else 128
        for (block_version, block_length), blocks in self.own_blocks.items():
            if block_version == version and block_length <= length:
                shift = bits - block_length
                block = blocks.get(first >> shift << shift)
                if block is not None:
                    return block
        return None


def build(
    facts: Facts,
    host_addresses: Iterable[IPAddress],
    policy: Policy,
    limits: Mapping[IPAddress, Rank],
) -> Terms:
    """The terms for a snapshot and the addresses the kernel knows as local.

    `limits` are looked up as they are when a path is judged, not copied.
    """
    me = facts.nodes.get(facts.me)
    own = [i for i in (me.ipv4_address, me.ipv6_address) if i is not None] if me else []
    configuration = effective(facts.configurations, facts.me)
    return Terms(
        me=facts.me,
        policy=policy,
        ranges={version: _ranges(version, facts.pools.values(), policy) for version in (4, 6)},
        own_blocks=_indexed(facts.blocks),
        node_at=_node_at(facts.nodes.values()),
        as_numbers={name: as_of(node, configuration) for name, node in facts.nodes.items()},
        own_addresses=frozenset([*(i.ip for i in own), *host_addresses]),
        local_subnets=tuple(interface.network for interface in own),
        cluster_id="" if me is None else me.route_reflector_cluster_id,
        felix=FelixRoutes(facts.me, facts.nodes, facts.owners, facts.reach_terms),
        limits=limits,
    )


def with_blocks(terms: Terms, blocks: Mapping[IPNetwork, Block]) -> Terms:
    """The same terms with what our blocks hold now."""
    return replace(terms, own_blocks=_indexed(blocks))


def limit_rank(prefixes: Collection[IPNetwork], limit: int) -> Rank | None:
    """The last prefix that counts for a peer with so many prefixes; None: all do.

    The first ones in the order of ranks count, whatever the order in which they came.
    """
    if len(prefixes) <= limit:
        return None
    return nsmallest(limit, map(rank, prefixes))[-1] if limit > 0 else (0, 0, 0)


def rank(prefix: IPNetwork) -> Rank:
    """The place of a prefix in the order in which a prefix limit counts."""
    return (prefix.version, int(prefix.network_address), prefix.prefixlen)


def needs_tunnel(pool: IPPool, next_hop: IPAddress, local_subnets: Iterable[IPNetwork]) -> bool:
    """Always, or CrossSubnet towards a next hop outside this node's own subnets."""
    modes = {pool.ipip_mode, pool.vxlan_mode}
    if EncapMode.CROSS_SUBNET in modes:
        return not any(
            subnet.version == next_hop.version and next_hop in subnet for subnet in local_subnets
        )
    return EncapMode.ALWAYS in modes


def _indexed(blocks: Mapping[IPNetwork, Block]) -> dict[tuple[int, int], dict[int, Block]]:
    indexed: dict[tuple[int, int], dict[int, Block]] = {}
    for cidr, block in blocks.items():
        at = indexed.setdefault((cidr.version, cidr.prefixlen), {})
        at[int(cidr.network_address)] = block
    return indexed


def _ranges(version: int, pools: Iterable[IPPool], policy: Policy) -> tuple[Range, ...]:
    known: dict[IPNetwork, IPPool | None] = dict.fromkeys(policy.allowed_ranges)
    for pool in sorted(pools, key=lambda pool: pool.name, reverse=True):
        known[pool.cidr] = pool
    mine = [cidr for cidr in known if cidr.version == version]
    mine.sort(key=lambda cidr: -cidr.prefixlen)
    return tuple(
        Range(int(cidr.network_address), int(cidr.netmask), cidr.prefixlen, known[cidr])
        for cidr in mine
    )


def _node_at(nodes: Iterable[Node]) -> dict[IPAddress, NodeName]:
    """Two nodes with one address: the smaller name has it, as in peerings."""
    found: dict[IPAddress, NodeName] = {}
    for node in sorted(nodes, key=lambda node: node.name):
        for interface in (node.ipv4_address, node.ipv6_address):
            if interface is not None:
                found.setdefault(interface.ip, node.name)
    return found
