"""What is written in a store about addresses, read as plain JSON; and an endpoint to write there."""

from __future__ import annotations

import json
from ipaddress import ip_address, ip_network
from typing import Any

from felix_py.datastore import codec
from felix_py.datastore.keys import ResourceKey, kind_prefix
from felix_py.datastore.model import IPAddress, IPNetwork, Kind
from felix_py.datastore.store import KeyValue, Store
from ipam.requests import EndpointDraft
from tests.unit.ipam.cluster import AT


def held_in(store: Store) -> dict[str, str]:
    """Address to handle, by the blocks. An address in two blocks is an AssertionError."""
    found: dict[str, str] = {}
    for key, block in _documents(store, "/calico/ipam/v2/assignment/"):
        first = ip_network(block["cidr"]).network_address
        for ordinal, index in enumerate(block["allocations"]):
            if index is not None:
                address = str(first + ordinal)
                assert address not in found, f"{key}: {address} is in two blocks"
                found[address] = block["attributes"][index]["handle_id"]
    return found


def lies_in_block_of(store: Store, node: str, address: str) -> bool:
    """Whether the node has the block in which the address lies."""
    return any(
        ip_address(address) in cidr and affinity == f"host:{node}"
        for cidr, affinity in _blocks(store)
    )


def has_odd_block(store: Store, wanted: IPNetwork) -> bool:
    """Whether other blocks are where this one would be."""
    return any(
        cidr.version == wanted.version and cidr.overlaps(wanted) and cidr != wanted
        for cidr, _ in _blocks(store)
    )


def named_by_handles(store: Store) -> dict[str, int]:
    """Handle to how many addresses it says that it holds."""
    return {
        key.rpartition("/")[2]: sum(value["block"].values())
        for key, value in _documents(store, "/calico/ipam/v2/handle/")
    }


def shown_by(store: Store) -> dict[str, tuple[str, ...]]:
    """Handle of an endpoint's container to the addresses that the endpoint shows."""
    specs = (v["spec"] for _, v in _documents(store, kind_prefix(Kind.WORKLOAD_ENDPOINT)))
    return {
        spec["containerID"]: tuple(net.partition("/")[0] for net in spec["ipNetworks"])
        for spec in specs
    }


def endpoint(handle: str) -> EndpointDraft:
    """The endpoint of the container that the handle names."""
    key = ResourceKey(Kind.WORKLOAD_ENDPOINT, f"a-k8s-{handle.replace('.', '-')}-eth0", "default")

    def render(given: tuple[IPAddress, ...], stored: KeyValue | None) -> bytes:
        spec = {
            "orchestrator": "k8s",
            "node": "a",
            "pod": handle,
            "endpoint": "eth0",
            "containerID": handle,
            "interfaceName": "cali1",
            "ipNetworks": [f"{address}/{address.max_prefixlen}" for address in given],
        }
        return codec.render_new(key, spec, uid="u", created_at=AT)

    return EndpointDraft(key, render)


def _blocks(store: Store) -> list[tuple[IPNetwork, str | None]]:
    found = _documents(store, "/calico/ipam/v2/assignment/")
    return [(ip_network(block["cidr"]), block["affinity"]) for _, block in found]


def _documents(store: Store, prefix: str) -> list[tuple[str, Any]]:
    return [(item.key, json.loads(item.value)) for item in store.list(prefix).items]
