"""Keys and short cuts of the codec's tests."""

from __future__ import annotations

import json
from ipaddress import IPv4Network
from typing import Any

from felix_py.datastore import codec
from felix_py.datastore.keys import (
    AffinityKey,
    BlockKey,
    HandleKey,
    IPAMConfigKey,
    Key,
    ResourceKey,
    SessionKey,
    StatusKey,
)
from felix_py.datastore.model import (
    HandleId,
    Invalid,
    Kind,
    NodeName,
)

BLOCK = BlockKey(IPv4Network("10.244.1.0/30"))
POOL = ResourceKey(Kind.IP_POOL, "p")
NODE = ResourceKey(Kind.NODE, "worker-1")
PEER = ResourceKey(Kind.BGP_PEER, "tor")
CONFIGURATION = ResourceKey(Kind.BGP_CONFIGURATION, "default")
ENDPOINT = ResourceKey(Kind.WORKLOAD_ENDPOINT, "w-k8s-p-eth0", "default")
RESERVATION = ResourceKey(Kind.IP_RESERVATION, "r")
CLUSTER = ResourceKey(Kind.CLUSTER_INFORMATION, "default")
AFFINITY = AffinityKey(NodeName("worker-1"), IPv4Network("10.244.1.0/30"))
HANDLE = HandleKey(HandleId("k8s-pod-network.0"))
ALL_KEYS: tuple[Key, ...] = (
    *(BLOCK, POOL, NODE, PEER, CONFIGURATION, ENDPOINT, RESERVATION, CLUSTER, AFFINITY, HANDLE),
    *(IPAMConfigKey(), SessionKey(NodeName("n")), StatusKey(NodeName("n"), "felix")),
)


def decoded(key: Key, spec: dict[str, Any]) -> Any:
    return codec.decode(key, json.dumps({"spec": spec}).encode())


def reason(key: Key, spec: dict[str, Any]) -> str:
    answer = decoded(key, spec)
    assert isinstance(answer, Invalid), answer
    return answer.reason
