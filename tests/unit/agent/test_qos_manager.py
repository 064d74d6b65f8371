"""Which endpoint's controls a link gets, and what is said about those that cannot be meant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import cast

from felix_py.agent.managers.qos import QosManager
from felix_py.agent.snapshot import Claim, Dirty
from felix_py.datastore.model import Invalid
from felix_py.datastore.qos import Bandwidth, Direction, PacketRate, QosControls
from felix_py.kernel.nft_pieces import Pieces
from felix_py.kernel.nft_pieces_table import PiecesTable
from felix_py.kernel.qdisc_model import Shaping
from felix_py.kernel.traffic_control import TrafficControl
from tests.unit.agent.builders import cali, endpoint, endpoint_key, snapshot_of

SLOW = QosControls(ingress=Direction(bandwidth=Bandwidth(8000)))
FEW = QosControls(egress=Direction(packets=PacketRate(5)))
ALL = Dirty(everything=True)


@dataclass
class Links:
    wanted: Mapping[str, Shaping] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    def want(self, wishes: Mapping[str, Shaping]) -> None:
        self.wanted = wishes


@dataclass
class Table:
    wanted: Pieces | None = None
    failure: str | None = None

    def want(self, pieces: Pieces | None) -> None:
        self.wanted = pieces


def made() -> tuple[QosManager, Links, Table]:
    links, table = Links(), Table()
    return QosManager(cast("TrafficControl", links), cast("PiecesTable", table)), links, table


def claim(
    name: str, qos: QosControls | Invalid | None, age: int = 1, container: str = "c1"
) -> Claim:
    return Claim(endpoint_key(name), replace(endpoint(name, container=container), qos=qos), age)


def test_a_link_gets_the_controls_of_the_endpoint_that_owns_it() -> None:
    manager, links, table = made()
    before, after = claim("a", SLOW, age=9, container="gone"), claim("b", FEW)
    manager.decide(ALL, snapshot_of([before, after], cali()))
    assert set(links.wanted) == {"cali1"}
    assert links.wanted["cali1"] == Shaping()
    assert table.wanted is not None
    assert set(table.wanted.maps["from"]) == {"cali1"}


def test_controls_go_with_the_endpoint_and_with_the_link() -> None:
    manager, links, table = made()
    for nothing in (snapshot_of([], cali()), snapshot_of([claim("a", SLOW)])):
        manager.decide(ALL, snapshot_of([claim("a", SLOW)], cali()))
        assert links.wanted["cali1"].ingress is not None
        manager.decide(Dirty(interfaces=frozenset({"cali1"})), nothing)
        assert (links.wanted, table.wanted) == ({}, None)


def test_what_cannot_be_meant_or_kept_is_named() -> None:
    manager, links, table = made()
    wrong = claim("a", Invalid("spec.qosControls.dscp: 99 is out of range"))
    manager.decide(ALL, snapshot_of([wrong], cali()))
    (warning,) = manager.warnings()
    assert "worker--1-k8s-a-eth0: spec.qosControls.dscp" in warning
    manager.decide(ALL, snapshot_of([claim("a", SLOW)], cali()))
    assert manager.warnings() == []
    links.failed, table.failure = {"cali1": "no tbf"}, "no nft"
    assert ["no tbf" in text or "no nft" in text for text in manager.warnings()] == [True, True]


def test_what_concerns_no_link_and_no_pool_is_not_decided_again() -> None:
    manager, links, _ = made()
    manager.decide(ALL, snapshot_of([claim("a", SLOW)], cali()))
    wanted = links.wanted
    manager.decide(Dirty(addresses=frozenset()), snapshot_of([], cali()))
    assert links.wanted is wanted
