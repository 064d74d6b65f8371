"""Which pods have an MTU that is not right any more."""

from __future__ import annotations

import pytest

from felix_py.agent.calc.pod_mtu import misfits
from felix_py.kernel.model import Link
from felix_py.kernel.pod_records import PodRecord


def found(mtu: int, *, name: str = "cali1", alias: str = "net.c1", fixed: int = 0) -> list[str]:
    """What is told of one pod's link, 1480 being right."""
    record = PodRecord("cali1", "net.c1", ("10.244.0.1",), "c1", "web", "nginx", mtu=fixed)
    link = Link(7, name, alias=alias, mtu=mtu)
    return [misfit.words for misfit in misfits([link], 1480, lambda _: record)]


@pytest.mark.parametrize("mtu", [1500, 1400])
def test_a_pod_with_another_mtu_is_named_with_what_sets_it(mtu: int) -> None:
    [words] = found(mtu)
    assert words == (
        f"web/nginx on cali1 has MTU {mtu}, 1480 is right; `felixctl mtu fix` sets both ends of its link"
    )


def test_a_pod_with_the_right_mtu_is_not_named() -> None:
    assert found(1480) == []


def test_a_smaller_mtu_that_configuration_fixed_is_right() -> None:
    assert found(1400, fixed=1400) == []


def test_a_larger_one_that_it_fixed_is_told_with_where_to_change_it() -> None:
    [words] = found(9000, fixed=9000)
    assert "cni.mtu" in words


def test_links_of_others_and_links_in_the_making_are_passed_over() -> None:
    assert found(1500, name="eth0") == []
    assert found(1500, alias="") == []


def test_only_a_too_large_one_loses_packets() -> None:
    links = [Link(7, "cali1", alias="net.c1", mtu=1500), Link(8, "cali2", alias="net.c2", mtu=1400)]
    assert [m.too_large for m in misfits(links, 1480, lambda _: None)] == [True, False]
