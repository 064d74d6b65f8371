"""Which /32 and /128 routes local endpoints get."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from felix_py.agent.calc.conflicts import disputed
from felix_py.agent.calc.local_routes import route_of
from felix_py.agent.snapshot import Claim
from felix_py.kernel.model import IPNetwork, NextHop, Scope
from felix_py.kernel.pod_route import pod_route
from tests.unit.agent.builders import cali, endpoint, endpoint_key, snapshot_of

V4, V6 = ip_network("10.244.0.7/32"), ip_network("fd00::7/128")


def claim(name: str, *addresses: str, revision: int = 1, **more: str) -> Claim:
    return Claim(endpoint_key(name), endpoint(name, *addresses, **more), revision)  # type: ignore[arg-type]


@pytest.mark.parametrize(("address", "scope"), [(V4, Scope.LINK), (V6, Scope.UNIVERSE)])
def test_an_endpoint_gets_its_route_with_felixs_key_and_mark(
    address: IPNetwork, scope: Scope
) -> None:
    snapshot = snapshot_of([claim("a", str(address))], cali(index=9))
    route = route_of(address, snapshot)
    assert route == pod_route(address.network_address, 9)
    assert (route.key.metric, route.key.table, route.protocol) == (1024, 254, 80)
    assert (route.next_hops, route.scope) == ((NextHop(9),), scope)


def test_no_route_without_the_link_or_while_it_is_down() -> None:
    assert route_of(V4, snapshot_of([claim("a", str(V4))])) is None
    assert route_of(V4, snapshot_of([claim("a", str(V4))], cali(up=False))) is None


def test_a_container_id_may_hold_dots() -> None:
    claims = [claim("a", str(V4), container="k8s.io-web")]
    assert route_of(V4, snapshot_of(claims, cali(alias="my.net.k8s.io-web"))) is not None
    assert route_of(V4, snapshot_of(claims, cali(alias="my.net.k8s.io-db"))) is None


def test_a_link_whose_alias_names_another_container_is_not_used() -> None:
    claims = [claim("a", str(V4), container="new")]
    assert route_of(V4, snapshot_of(claims, cali(alias="net.old"))) is None
    assert route_of(V4, snapshot_of(claims, cali(alias="my.net.new"))) is not None
    assert route_of(V4, snapshot_of(claims, cali(alias="my.net.renew"))) is None
    assert route_of(V4, snapshot_of(claims, cali(alias=""))) is not None


def test_an_endpoint_cannot_reach_for_the_hosts_uplink() -> None:
    claims = [claim("a", str(V4), link="eth0")]
    assert route_of(V4, snapshot_of(claims, cali("eth0", alias=""))) is None


@pytest.mark.parametrize("turn", [1, -1])
def test_of_two_that_claim_one_address_the_newest_wins_in_any_order(turn: int) -> None:
    claims = [
        claim("a", str(V4), revision=5, link="cali1"),
        claim("b", str(V4), revision=8, link="cali2", container="c2"),
    ][::turn]
    links = cali("cali1", 5), cali("cali2", 6, "net.c2")
    assert route_of(V4, snapshot_of(claims, *links)) == pod_route(V4.network_address, 6)
    assert disputed(snapshot_of(claims, *links)) == {
        V4: (endpoint_key("a").path, endpoint_key("b").path)
    }


def test_a_newer_claim_without_a_link_does_not_take_the_route_of_a_running_pod() -> None:
    claims = [
        claim("a", str(V4), revision=5),
        claim("b", str(V4), revision=8, link="cali2", container="c2"),
    ]
    assert route_of(V4, snapshot_of(claims, cali())) == pod_route(V4.network_address, 5)
