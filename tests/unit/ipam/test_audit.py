"""The audit finds each planted fault, reports nothing else, and is silent about a healthy cluster."""

from __future__ import annotations

import json
from collections.abc import Callable
from ipaddress import ip_network
from typing import Any

import pytest

from felix_py.datastore import codec
from felix_py.datastore.keys import ResourceKey
from felix_py.datastore.model import Handle, HandleId, IPAddress, Kind
from felix_py.datastore.store import KeyValue
from ipam.audit import Audit, audit
from ipam.findings import Problem
from ipam.requests import EndpointDraft
from ipam.tunnels import HANDLE_PREFIXES
from tests.unit.ipam.cluster import AT, Cluster, Machine

BLOCK = "/calico/ipam/v2/assignment/ipv4/block/10.0.0.0-29"
AFFINITY = "/calico/ipam/v2/host/a/ipv4/block/10.0.0.0-29"


def endpoint(name: str) -> EndpointDraft:
    key = ResourceKey(Kind.WORKLOAD_ENDPOINT, f"a-k8s-{name}-eth0", "default")

    def render(given: tuple[IPAddress, ...], stored: KeyValue | None) -> bytes:
        networks = [f"{address}/{address.max_prefixlen}" for address in given]
        return codec.render_new(key, spec(name, networks), uid="u", created_at=AT)

    return EndpointDraft(key, render)


def spec(name: str, networks: list[str]) -> dict[str, Any]:
    return {
        "orchestrator": "k8s",
        "node": "a",
        "pod": name,
        "endpoint": "eth0",
        "containerID": f"c-{name}",
        "interfaceName": "cali1",
        "ipNetworks": networks,
    }


@pytest.fixture
def made() -> Cluster:
    cluster = Cluster()
    cluster.pool("v4", "10.0.0.0/28", 29)
    cluster.node("a")
    a = Machine(cluster.store, "a", start_at=lambda *_: 0)
    a.assign("net.c-one", endpoint=endpoint("one"))
    a.assign("net.c-two", endpoint=endpoint("two"))
    a.assign("ipip-tunnel-addr-a", attributes={"node": "a", "type": "ipipTunnelAddress"})
    return cluster


def look(made: Cluster, between: Callable[[float], None] = lambda _: None) -> Audit:
    return audit(made.store, wait=between)


def problems(made: Cluster) -> list[tuple[Problem, str]]:
    return [(finding.problem, finding.what) for finding in look(made).findings]


def edit(made: Cluster, path: str, change: Callable[[dict[str, Any]], None]) -> None:
    stored = made.store.get(path)
    assert stored is not None
    document = json.loads(stored.value)
    change(document)
    made.store.put(path, json.dumps(document).encode())


def test_a_healthy_cluster_has_no_findings_and_is_counted(made: Cluster) -> None:
    found = look(made)
    assert (found.findings, found.addresses, found.blocks, found.endpoints) == ((), 3, 1, 2)


def test_an_address_without_endpoint_is_leaked(made: Cluster) -> None:
    made.store.delete(endpoint("one").key.path)
    assert problems(made) == [(Problem.LEAKED, "10.0.0.0")]
    assert "net.c-one" in look(made).findings[0].repair


TUNNEL = {"node": "a", "type": "vxlanTunnelAddress"}


@pytest.mark.parametrize(
    ("handle", "attributes"),
    [
        ("vxlan-tunnel-addr-gone", {**TUNNEL, "node": "gone"}),
        ("net.c-three", TUNNEL),
        ("ipip-tunnel-addr-a", TUNNEL),
        ("vxlan-tunnel-addr-a", {"node": "a"}),
        ("vxlan-tunnel-addr-a", {"type": "vxlanTunnelAddress"}),
    ],
)
def test_a_tunnel_address_that_its_type_and_node_do_not_explain_is_leaked(
    made: Cluster, handle: str, attributes: dict[str, str]
) -> None:
    Machine(made.store, "a").assign(handle, attributes=attributes, count=2)
    leaked = [what for problem, what in problems(made) if problem is Problem.LEAKED]
    assert leaked
    assert set(leaked) <= {"10.0.0.3", "10.0.0.4"}


def test_a_tunnel_address_is_no_leak_whichever_kind_it_is(made: Cluster) -> None:
    for kind, prefix in HANDLE_PREFIXES.items():
        attributes = {"node": "a", "type": kind}
        Machine(made.store, "a").assign(f"{prefix}a", attributes=attributes)
    assert problems(made) == []


def test_a_published_tunnel_address_that_the_node_does_not_hold_is_found(made: Cluster) -> None:
    made.resource(Kind.NODE, "a", {"bgp": {"ipv4IPIPTunnelAddr": "10.0.0.2"}})
    assert problems(made) == []
    made.resource(Kind.NODE, "a", {"bgp": {"ipv4IPIPTunnelAddr": "10.0.0.1"}})
    assert problems(made) == [(Problem.TUNNEL_WITHOUT_ADDRESS, "a")]
    assert "held by handle net.c-two" in look(made).findings[0].detail
    made.resource(Kind.NODE, "a", {"ipv4VXLANTunnelAddr": "10.0.0.9"})
    assert problems(made) == [(Problem.TUNNEL_WITHOUT_ADDRESS, "a")]
    assert "free in IPAM" in look(made).findings[0].detail


def test_an_endpoint_without_address_and_two_of_one_address_are_found(made: Cluster) -> None:
    third = endpoint("three").key
    networks = ["10.0.0.0/32", "10.0.0.7/32"]
    made.store.put(
        third.path, codec.render_new(third, spec("three", networks), uid="u", created_at=AT)
    )
    assert problems(made) == [
        (Problem.DOUBLED, "10.0.0.0"),
        (Problem.ENDPOINT_WITHOUT_ADDRESS, third.path),
    ]


def test_a_handle_that_no_block_knows_is_orphaned(made: Cluster) -> None:
    path = "/calico/ipam/v2/handle/gone"
    made.store.put(path, codec.encode(Handle({ip_network("10.0.0.0/29"): 1})))
    assert problems(made) == [(Problem.ORPHANED_HANDLE, path)]


def test_a_handle_that_names_another_block_is_wrong_and_a_missing_one_is_named(
    made: Cluster,
) -> None:
    wrong = "/calico/ipam/v2/handle/net.c-one"
    made.store.put(wrong, codec.encode(Handle({ip_network("10.0.0.8/29"): 1})))
    made.store.delete("/calico/ipam/v2/handle/net.c-two")
    assert problems(made) == [
        (Problem.WRONG_HANDLE, wrong),
        (Problem.MISSING_HANDLE, HandleId("net.c-two")),
    ]


def test_a_miscounted_handle_is_fine_because_counts_are_advisory(made: Cluster) -> None:
    path = "/calico/ipam/v2/handle/net.c-one"
    made.store.put(path, codec.encode(Handle({ip_network("10.0.0.0/29"): 5})))
    assert problems(made) == []


def test_affinities_and_blocks_that_do_not_belong_together_are_found(made: Cluster) -> None:
    lonely = "/calico/ipam/v2/host/b/ipv4/block/10.0.0.8-29"
    made.store.put(lonely, b'{"state":"confirmed"}')
    made.store.put(AFFINITY, b'{"state":"pending"}')
    assert problems(made) == [
        (Problem.PENDING_AFFINITY, AFFINITY),
        (Problem.AFFINITY_WITHOUT_BLOCK, lonely),
    ]
    made.store.delete(lonely)
    made.store.delete(AFFINITY)
    assert problems(made) == [(Problem.BLOCK_WITHOUT_AFFINITY, BLOCK)]


def test_addresses_outside_every_pool_are_found(made: Cluster) -> None:
    made.pool("v4", "10.9.0.0/28", 29)
    outside = [what for problem, what in problems(made) if problem is Problem.OUTSIDE_POOLS]
    assert outside == ["10.0.0.0", "10.0.0.1", "10.0.0.2"]


def test_an_address_that_two_overlapping_blocks_give_out_is_doubled(made: Cluster) -> None:
    stored = made.store.get(BLOCK)
    assert stored is not None
    other = json.loads(stored.value)
    other |= {
        "cidr": "10.0.0.0/30",
        "allocations": other["allocations"][:4],
        "unallocated": [3],
        "affinity": None,
    }
    made.store.put(BLOCK.replace("-29", "-30"), json.dumps(other).encode())
    doubled = [what for problem, what in problems(made) if problem is Problem.DOUBLED]
    assert doubled == ["10.0.0.0", "10.0.0.1", "10.0.0.2"]


def test_an_unreadable_block_is_named_and_its_affinity_is_not_blamed(made: Cluster) -> None:
    edit(made, BLOCK, lambda block: block.update(unallocated=[]))
    found = problems(made)
    assert (Problem.UNREADABLE, BLOCK) in found
    assert Problem.AFFINITY_WITHOUT_BLOCK not in {problem for problem, _ in found}


def test_what_the_second_look_does_not_show_is_not_reported(made: Cluster) -> None:
    path = endpoint("one").key.path
    stored = made.store.get(path)
    assert stored is not None
    made.store.delete(path)
    found = look(made, between=lambda _: void(made.store.put(path, stored.value)))
    assert found.findings == ()


def void(_: object) -> None:
    """An expression's value that nobody wants."""
