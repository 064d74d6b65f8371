"""Which of our blocks are blackholed."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from felix_py.agent.calc.block_routes import route_of
from felix_py.datastore.model import AffinityState, NodeName
from felix_py.kernel.model import RouteKind
from tests.unit.agent.builders import OTHER, with_block


@pytest.mark.parametrize("cidr", ["10.244.0.64/26", "fd00::40/122"])
def test_a_block_that_names_us_and_is_confirmed_is_blackholed(cidr: str) -> None:
    route = route_of(ip_network(cidr), with_block(cidr, AffinityState.CONFIRMED))
    assert route is not None
    assert (route.kind, route.protocol, route.key.metric) == (RouteKind.BLACKHOLE, 80, 1024)
    assert route.next_hops == ()


@pytest.mark.parametrize("state", [None, AffinityState.PENDING, AffinityState.PENDING_DELETION])
def test_a_claim_half_way_is_not_blackholed(state: AffinityState | None) -> None:
    assert route_of(ip_network("10.244.0.64/26"), with_block("10.244.0.64/26", state)) is None


@pytest.mark.parametrize("owner", [OTHER, None])
def test_anothers_block_is_not_blackholed_whatever_our_affinity_says(
    owner: NodeName | None,
) -> None:
    snapshot = with_block("10.244.0.64/26", AffinityState.CONFIRMED, owner)
    assert route_of(ip_network("10.244.0.64/26"), snapshot) is None


@pytest.mark.parametrize("cidr", ["10.244.0.64/32", "fd00::40/128"])
def test_a_block_of_one_address_is_not_blackholed(cidr: str) -> None:
    assert route_of(ip_network(cidr), with_block(cidr, AffinityState.CONFIRMED)) is None
