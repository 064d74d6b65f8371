"""bird.conf and frr.conf of every router of every shipped topology, as files to review."""

from __future__ import annotations

import pytest

from felix_py.lab import bgp_plan, bird_config, frr_config, topology_file
from tests.support.golden import Golden

ROUTERS = [
    pytest.param(name, router, id=f"{name}-{router.name}")
    for name in topology_file.shipped()
    for router in bgp_plan.routers(topology_file.load(name))
]


@pytest.mark.parametrize(("name", "router"), ROUTERS)
def test_a_routers_configuration_is_the_reviewed_one(
    name: str, router: bgp_plan.Router, golden: Golden
) -> None:
    renderer = bird_config if router.kind == "bird" else frr_config
    golden.check(f"lab/{name}/{router.name}.{router.kind}.conf", renderer.render(router))
