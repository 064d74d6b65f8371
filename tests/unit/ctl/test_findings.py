"""What `status` and `ipam check` call wrong."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

import pytest

from felix_py.ctl.findings import problems, state_of
from felix_py.ctl.kernel_check import NodeView, compare
from felix_py.datastore.model import AffinityState, Block, Metadata, NodeName, WorkloadEndpoint
from felix_py.kernel.model import Link, NextHop, Route, RouteKey, RouteKind
from felix_py.kernel.pod_records import PodRecord

FINE = {"inSync": True, "connected": True, "frozen": None, "revision": 5}
ME = NodeName("worker-1")
POD, BLOCK = ip_network("10.244.0.7/32"), ip_network("10.244.0.0/26")


def document(**more: Any) -> dict[str, Any]:
    return {"store": FINE, "warnings": [], "invalid": [], **more}


def test_a_daemon_that_is_fine_has_no_problems() -> None:
    for daemon in ("felix", "bgp", "cni"):
        assert problems(daemon, document(), running=True) == []
    assert state_of(document(), running=True) == "ok"


@pytest.mark.parametrize(
    ("daemon", "more", "expected"),
    [
        ("felix", {"store": {**FINE, "frozen": "went back"}}, "frozen: went back"),
        ("cni", {"store": {**FINE, "connected": False}}, "etcd does not answer"),
        ("bgp", {"store": {**FINE, "inSync": False}}, "not in sync"),
        ("bgp", {"invalid": [{"key": "/k", "reason": "spec.x: bad"}]}, "/k: spec.x: bad"),
        ("cni", {"warnings": ["look"]}, "cni: look"),
        ("felix", {"routes": {"failed": [{"prefix": "p", "reason": "EPERM"}]}}, "EPERM"),
        ("felix", {"routes": {"foreign": [{"prefix": "p", "protocol": 4}]}}, "protocol 4"),
        ("bgp", {"sessions": [{"peer": "192.0.2.1", "state": "down"}]}, "192.0.2.1"),
        ("bgp", {"exabgp": {"problem": "no launcher"}}, "no launcher"),
        (
            "bgp",
            {"learned": {"unresolvedNextHops": [{"nextHop": "192.0.2.9", "reason": "no route"}]}},
            "192.0.2.9 cannot be resolved",
        ),
    ],
)
def test_every_trouble_becomes_a_sentence(daemon: str, more: dict[str, Any], expected: str) -> None:
    (found,) = problems(daemon, document(**more), running=True)
    assert expected in found


def test_a_daemon_that_does_not_run_or_never_wrote_is_named() -> None:
    assert problems("felix", document(), running=False) == ["felix is not running; see its log"]
    assert problems("felix", None, running=True) == ["felix is not running; see its log"]


def test_documents_of_another_shape_are_not_trusted() -> None:
    odd = {"store": 5, "warnings": {"a": 1}, "invalid": "x", "routes": [], "sessions": [1]}
    assert problems("felix", odd, running=True) == ["felix: not in sync with etcd yet"]


def endpoint() -> WorkloadEndpoint:
    return WorkloadEndpoint(
        Metadata("a", "default"), "k8s", ME, "", "c1", "a", "eth0", (POD,), "cali1"
    )


def node_view(*routes: Route, **more: Any) -> NodeView:
    block = Block(BLOCK, f"host:{ME}", None, (None,) * 64, tuple(range(64)), (), 1, {})
    usual: dict[str, Any] = {
        "endpoints": (endpoint(),),
        "blocks": {BLOCK: block},
        "affinities": {BLOCK: AffinityState.CONFIRMED},
        "pools": (ip_network("10.244.0.0/16"),),
        "links": (Link(5, "cali1", "veth"), Link(2, "eth0")),
    }
    return NodeView(ME, routes=routes, **{**usual, **more})


def route(prefix: str, ifindex: int | None = 5, protocol: int = 80) -> Route:
    hops = () if ifindex is None else (NextHop(ifindex),)
    kind = RouteKind.BLACKHOLE if ifindex is None else RouteKind.UNICAST
    return Route(RouteKey(ip_network(prefix), 1024), protocol, kind, hops)


GOOD = (route(str(POD)), route(str(BLOCK), None), route("10.244.1.0/26", 2, 81))


def test_what_etcd_explains_and_the_underlay_are_no_findings() -> None:
    assert compare(node_view(*GOOD, route("192.168.50.0/24", 2, 2))) == []


@pytest.mark.parametrize(
    "stray",
    [
        route("10.244.0.8/32"),
        route("10.244.0.8/32", 5, 3),
        route("10.244.0.9/32", 2, 4),
        route("10.99.0.1/32", 5, 3),
        route("10.244.0.64/26", None),
    ],
)
def test_a_stray_route_is_found_whoever_made_it(stray: Route) -> None:
    (found,) = compare(node_view(*GOOD, stray))
    assert (found.problem, found.what) == ("stray route", str(stray.key.prefix))
    assert f"proto {stray.protocol}" in found.repair


def test_the_kernels_own_routes_on_pods_links_are_not_stray() -> None:
    assert compare(node_view(*GOOD, route("fe80::/64", 5, 2))) == []


def test_an_endpoint_without_a_route_is_found() -> None:
    (found,) = compare(node_view(GOOD[1]))
    assert (found.problem, found.what) == ("endpoint without route", str(POD))


def test_a_pod_that_lives_without_an_endpoint_is_named_and_not_called_stray() -> None:
    living = PodRecord("cali1", "net.c1", ("10.244.0.8",), "c1", "shop", "web")
    unknown = route("10.244.0.8/32")
    view = node_view(*GOOD, unknown, records={"cali1": living})
    (found,) = compare(view)
    assert (found.problem, found.what) == ("unregistered pod", "10.244.0.8/32")
    assert "shop/web" in found.detail
    assert "route del" not in found.repair
