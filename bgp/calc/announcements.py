"""Pure: what this node tells its peers.

A block of ours is announced as a whole once both its own affinity and our confirmed affinity key say so
(calico#6867: a pending one must not be). Every other address of a local pod inside a pool goes out as
/32 or /128: borrowed ones, those of single-address blocks, those of blocks not confirmed, and floating ones.
Calico v3.32's export filter (confd, bird_ipam.cfg.template) is the model.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from bgp.calc.configuration import effective
from bgp.model import Attributes, IPNetwork, Peering
from felix_py.datastore.calc.pools import pool_for
from felix_py.datastore.keys import ResourceKey
from felix_py.datastore.model import (
    AffinityState,
    IPPool,
    NodeName,
    PoolName,
    PoolUse,
    WorkloadEndpoint,
)
from felix_py.datastore.model_bgp import BGPConfiguration, PrefixAdvertisement
from felix_py.kernel.pod_route import host_prefix

NORMAL_PRIORITY = 1024
INTERNAL_LOCAL_PREFERENCE = 2147483647 - NORMAL_PRIORITY
"""What Calico v3.32 gives its own routes on iBGP sessions, so that both kinds of nodes agree."""


class Affine(Protocol):
    """What is looked at of a block."""

    @property
    def host(self) -> NodeName | None:
        """The node that it is affine to."""
        ...


class Possessions(Protocol):
    """What a node has that others may want to reach."""

    @property
    def me(self) -> NodeName:
        """This node."""
        ...

    @property
    def blocks(self) -> Mapping[IPNetwork, Affine]:
        """Blocks affine to this node."""
        ...

    @property
    def affinities(self) -> Mapping[IPNetwork, AffinityState]:
        """This node's affinity keys."""
        ...

    @property
    def endpoints(self) -> Mapping[ResourceKey, WorkloadEndpoint]:
        """This node's endpoints."""
        ...

    @property
    def floating(self) -> bool:
        """Endpoints' floating addresses are served."""
        ...


class Facts(Possessions, Protocol):
    """The part of the snapshot that announcements are a function of."""

    @property
    def pools(self) -> Mapping[PoolName, IPPool]:
        """Every pool."""
        ...

    @property
    def configurations(self) -> Mapping[str, BGPConfiguration]:
        """BGPConfiguration by name."""
        ...


Announced = Mapping[IPNetwork, tuple[str, ...]]
"""Prefix -> communities, whoever the peer is."""


def announced(facts: Facts) -> Announced:
    """Every prefix this node announces, with its communities."""
    advertisements = effective(facts.configurations, facts.me).prefix_advertisements
    pools = tuple(facts.pools.values())
    return {
        prefix: communities_for(prefix, advertisements)
        for prefix in reachable_here(facts)
        if exported(prefix, pools)
    }


def reachable_here(facts: Possessions) -> frozenset[IPNetwork]:
    """What this node would announce if pools did not matter: its blocks, and addresses outside them."""
    confirmed = frozenset(_confirmed(facts))
    lengths = sorted({(cidr.version, cidr.prefixlen) for cidr in confirmed})
    return confirmed.union(
        address
        for endpoint in facts.endpoints.values()
        for address in _addresses(endpoint, floating=facts.floating)
        if not _covered(address, confirmed, lengths)
    )


def for_session(peering: Peering, what: Announced) -> dict[IPNetwork, Attributes]:
    """What goes out on one session: prefixes of its families, next hop our own address there."""
    next_hops = {version: peering.next_hop(version) for version in (4, 6)}
    preference = None if peering.external else INTERNAL_LOCAL_PREFERENCE
    shared: dict[tuple[int, tuple[str, ...]], Attributes] = {}
    chosen: dict[IPNetwork, Attributes] = {}
    for prefix, communities in what.items():
        next_hop = next_hops[prefix.version]
        if next_hop is None:
            continue
        key = (prefix.version, communities)
        if key not in shared:
            shared[key] = Attributes(
                next_hop=str(next_hop),
                local_preference=preference,
                communities=communities,
            )
        chosen[prefix] = shared[key]
    return chosen


def communities_for(
    prefix: IPNetwork, advertisements: Iterable[PrefixAdvertisement]
) -> tuple[str, ...]:
    """The communities of all advertisements that cover the prefix, each once, in order."""
    found: dict[str, None] = {}
    for advertisement in advertisements:
        if _inside(prefix, advertisement.cidr):
            found.update(dict.fromkeys(advertisement.communities))
    return tuple(sorted(found))


def _addresses(endpoint: WorkloadEndpoint, *, floating: bool) -> Iterable[IPNetwork]:
    yield from endpoint.networks
    if floating:
        yield from (host_prefix(each.external) for each in endpoint.floating)


def _confirmed(facts: Possessions) -> Iterable[IPNetwork]:
    for cidr, block in facts.blocks.items():
        if block.host == facts.me and facts.affinities.get(cidr) is AffinityState.CONFIRMED:
            yield cidr


def _covered(
    address: IPNetwork, confirmed: frozenset[IPNetwork], lengths: Iterable[tuple[int, int]]
) -> bool:
    return any(
        version == address.version and address.supernet(new_prefix=length) in confirmed
        for version, length in lengths
        if length <= address.prefixlen
    )


def exported(prefix: IPNetwork, pools: tuple[IPPool, ...]) -> bool:
    """Nothing outside pools; nothing of pools that say so or that hold no pods."""
    pool = pool_for(prefix, pools)
    return (
        pool is not None
        and not pool.disable_bgp_export
        and PoolUse.LOAD_BALANCER not in pool.allowed_uses
    )


def _inside(inner: IPNetwork, outer: IPNetwork) -> bool:
    return (
        inner.version == outer.version
        and outer.prefixlen <= inner.prefixlen
        and inner.network_address in outer
    )
