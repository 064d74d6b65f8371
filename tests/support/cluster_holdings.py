"""What a node of a cluster holds in etcd, read by etcdctl alone; and what a namespace left there."""

from __future__ import annotations

import base64
import ipaddress
import json
from collections.abc import Iterator, Mapping
from typing import Any

from tests.e2e import truth
from tests.support import cluster_truth
from tests.support.cluster import Cluster

RESOURCES = "/calico/resources/v3/projectcalico.org/"
ENDPOINTS, NODES, PROFILES = (
    f"{RESOURCES}{k}/" for k in ("workloadendpoints", "nodes", "profiles")
)
IPAM = "/calico/ipam/v2/"
BLOCKS, HANDLES = f"{IPAM}assignment/", f"{IPAM}handle/"
OWN = "/felix-py/v1/nodes/"


def dump(cluster: Cluster) -> dict[str, str]:
    """Every key of our etcd with its value."""
    found = truth.run_json(*cluster_truth.etcdctl(cluster), "get", "/", "--prefix", "-w", "json")
    return {_text(pair["key"]): _text(pair.get("value", "")) for pair in found.get("kvs", [])}


def held(cluster: Cluster, node: str) -> set[str]:
    """The keys that are a node's, and its addresses as `address HANDLE ADDRESS`."""
    found: set[str] = set()
    for key, text in dump(cluster).items():
        mine = (f"{IPAM}host/{node}/", f"{OWN}{node}/")
        endpoint = key.startswith(ENDPOINTS) and json.loads(text)["spec"]["node"] == node
        if endpoint or key == f"{NODES}{node}" or key.startswith(mine):
            found.add(key)
        elif key.startswith(BLOCKS):
            block = json.loads(text)
            found |= {key} if block.get("affinity") == f"host:{node}" else set()
            found |= {
                f"address {handle} {address}"
                for handle, address, who in allocations(block)
                if who.get("node") == node
            }
    return found


def handles(words: set[str]) -> set[str]:
    """The keys of the handles of what `held` said."""
    return {f"{HANDLES}{word.split()[1]}" for word in words if word.startswith("address ")}


def allocations(block: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, str]]]:
    """Of each allocated address its handle, itself, and what the block says of who has it."""
    base = ipaddress.ip_network(block["cidr"]).network_address
    for ordinal, index in enumerate(block["allocations"]):
        if index is not None:
            known = block["attributes"][index]
            yield known.get("handle_id", ""), str(base + ordinal), known.get("secondary") or {}


def left_of(cluster: Cluster, namespace: str) -> list[str]:
    """What etcd still has of a namespace, in words; and everything in IPAM that does not agree."""
    found: list[str] = []
    for key, text in dump(cluster).items():
        endpoint = key.startswith(f"{ENDPOINTS}{namespace}/")
        profile = key == f"{PROFILES}kns.{namespace}" or key.startswith(
            f"{PROFILES}ksa.{namespace}."
        )
        if endpoint or profile:
            found.append(key)
        elif key.startswith(BLOCKS):
            found += [
                f"{address} of {handle}"
                for handle, address, who in allocations(json.loads(text))
                if who.get("namespace") == namespace
            ]
    return found + truth.compare_ipam(truth.read_etcd(cluster_truth.etcdctl(cluster)))


def endpoint_of(cluster: Cluster, namespace: str, pod: str) -> str:
    """The key of a pod's endpoint; empty when it has none."""
    for key, text in dump(cluster).items():
        if key.startswith(f"{ENDPOINTS}{namespace}/") and json.loads(text)["spec"]["pod"] == pod:
            return key
    return ""


def _text(encoded: str) -> str:
    return base64.b64decode(encoded).decode()
