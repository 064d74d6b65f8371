"""The endpoint of a pod that is gone for good: it goes with the addresses that are still its own."""

from __future__ import annotations

from collections.abc import Iterable

from felix_py.datastore.keys import ResourceKey
from felix_py.datastore.model import IPNetwork, IPPool, Stored, WorkloadEndpoint
from ipam import block as blocks
from ipam import pool as pools_
from ipam.block import Give
from ipam.draft import Draft
from ipam.free import free
from ipam.office import Office


def release_endpoint(office: Office, key: ResourceKey, seen: Stored[WorkloadEndpoint]) -> bool:
    """Delete it as it was seen and free its addresses, in one transaction; False: it changed meanwhile.

    An address that a block says is another pod's by now stays that pod's. Raises GaveUp, BadRequest.
    """
    pools = office.pools()
    return office.decide(lambda draft: _plan(draft, key, seen, pools))


def _plan(
    draft: Draft, key: ResourceKey, seen: Stored[WorkloadEndpoint], pools: Iterable[IPPool]
) -> bool:
    if draft.rely(key).mod_revision != seen.mod_revision:
        return False
    for network in seen.value.networks:
        cidr = _block_of(network, pools)
        if cidr is not None:
            _free_own(draft, key, seen.value, network, cidr)
    draft.plan(key, None)
    return True


def _free_own(
    draft: Draft,
    key: ResourceKey,
    endpoint: WorkloadEndpoint,
    network: IPNetwork,
    cidr: IPNetwork,
) -> None:
    block = draft.block(cidr)
    ordinal = int(network.network_address) - int(cidr.network_address)
    holder = blocks.holder_of(block, ordinal) if block else None
    if holder is None:
        return
    pod = holder.secondary.get("namespace"), holder.secondary.get("pod")
    if pod == (key.namespace, endpoint.pod) and (holder.handle_id or "").endswith(
        endpoint.container_id
    ):
        free(draft, cidr, [Give(ordinal, holder.handle_id)])


def _block_of(network: IPNetwork, pools: Iterable[IPPool]) -> IPNetwork | None:
    pool = pools_.containing(network, pools, even_disabled=True)
    return None if pool is None else blocks.block_of(network.network_address, pool.block_size)
