"""What an endpoint's controls become: buckets, chains, and only where they are asked for."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from felix_py.agent.calc.qos_rules import pieces_of
from felix_py.agent.calc.shaping import LEAST_QUEUE_BYTES, bucket_of, shaping_of
from felix_py.datastore.qos import Bandwidth, Direction, PacketRate, QosControls

POOLS = [ip_network("10.0.0.0/16"), ip_network("10.0.0.0/24"), ip_network("fd00::/64")]


def test_bits_become_bytes_and_directions_stay_apart() -> None:
    shaping = shaping_of(
        QosControls(egress=Direction(Bandwidth(10_000_000, 8_000_000, 20_000_000, 3000)))
    )
    assert shaping.ingress is None
    assert shaping.egress is not None
    assert (shaping.egress.rate, shaping.egress.burst) == (1_250_000, 1_000_000)
    assert (shaping.egress.peak_rate, shaping.egress.min_burst) == (2_500_000, 3000)
    assert shaping.egress.limit == 1_250_000 * 25 // 1000 + 1_000_000


@pytest.mark.parametrize(
    ("bandwidth", "limit"),
    [
        (Bandwidth(1000), LEAST_QUEUE_BYTES),
        (Bandwidth(10_000_000), 1_281_250),
        (Bandwidth(10**15), 2**32 - 1),
    ],
)
def test_a_queue_is_neither_too_short_for_tcp_nor_minutes_long(
    bandwidth: Bandwidth, limit: int
) -> None:
    assert bucket_of(bandwidth).limit == limit
    assert bucket_of(bandwidth).burst <= 2**32 - 1


def test_a_pod_without_such_controls_has_no_rules() -> None:
    assert pieces_of({}, POOLS) is None
    assert pieces_of({"cali1": QosControls(Direction(Bandwidth(10_000)))}, POOLS) is None


def test_each_limited_pod_has_chains_of_its_own_and_the_maps_lead_there() -> None:
    one = QosControls(Direction(max_connections=7), Direction(packets=PacketRate(50, 6)))
    pieces = pieces_of({"cali1": one, "cali2": one, "cali3": QosControls()}, POOLS)
    assert pieces is not None
    assert set(pieces.maps["from"]) == set(pieces.maps["to"]) == {"cali1", "cali2"}
    assert len(pieces.chains) == 4
    assert pieces.chains[pieces.maps["from"]["cali1"]] == (
        "limit rate over 50/second burst 6 packets drop",
    )
    assert pieces.chains[pieces.maps["to"]["cali2"]] == (
        "ct state new meta l4proto tcp ct count over 7 reject with tcp reset",
    )
    assert pieces.sets == {"pools4": frozenset(), "pools6": frozenset()}


def test_another_limit_is_another_chain_and_the_others_keep_theirs() -> None:
    before = pieces_of({name: limited(50) for name in ("cali1", "cali2")}, POOLS)
    after = pieces_of({"cali1": limited(50), "cali2": limited(51)}, POOLS)
    assert before is not None
    assert after is not None
    assert before.marker == after.marker
    assert before.maps["from"]["cali1"] == after.maps["from"]["cali1"]
    assert before.maps["from"]["cali2"] != after.maps["from"]["cali2"]


def test_dscp_spares_what_stays_between_pools() -> None:
    pieces = pieces_of({"cali1": QosControls(dscp=46), "cali2": QosControls(dscp=0)}, POOLS)
    assert pieces is not None
    assert pieces.maps["dscp"] == {"cali1": "dscp_46", "cali2": "dscp_0"}
    assert pieces.chains["dscp_46"] == ("ip dscp set 46", "ip6 dscp set 46")
    assert pieces.sets == {"pools4": {"10.0.0.0/16"}, "pools6": {"fd00::/64"}}


def limited(rate: int) -> QosControls:
    return QosControls(egress=Direction(packets=PacketRate(rate)))
