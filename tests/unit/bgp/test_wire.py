"""ExaBGP's lines to events, from captured examples, and commands as text."""

from __future__ import annotations

import json
import time
from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bgp.model import (
    Acknowledged,
    Attributes,
    EndOfRib,
    Event,
    Family,
    NotificationSeen,
    Path,
    PathsReceived,
    PeerDown,
    PeerOpened,
    PeerUp,
    RefreshSeen,
    RelayAttached,
    Reply,
    ShuttingDown,
    Unreadable,
)
from bgp.wire import announce_line, eor_line, parse_line, refresh_line, withdraw_line

PEER = ip_address("10.99.0.2")


def line(kind: str, neighbor: dict[str, Any], **more: object) -> str:
    head = {
        "exabgp": "5.0.0", "time": 1.5, "host": "h", "pid": 7, "ppid": 1, "counter": 3, "type": kind,
        **more,
        "neighbor": {
            "address": {"local": "10.99.0.1", "peer": "10.99.0.2"},
            "asn": {"local": 64512, "peer": 64512},
            "router-id": "10.99.0.1",
            **neighbor,
        },
    }  # fmt: skip
    return json.dumps(head)


def update(body: dict[str, Any]) -> str:
    return line("update", {"direction": "receive", "message": {"update": body}})


def only(text: str) -> Event:
    (event,) = parse_line(text)
    return event


def test_states_are_told_and_connected_is_not() -> None:
    assert parse_line(line("state", {"state": "connected"})) == ()
    assert only(line("state", {"state": "up"})) == PeerUp(PEER)
    down = line("state", {"state": "down", "reason": "closing connection"})
    assert only(down) == PeerDown(PEER, "closing connection")


def test_a_notification_that_we_sent_is_known_from_the_reason_of_the_down() -> None:
    text = line("state", {"state": "down", "reason": "notification sent (4,0)"})
    assert parse_line(text) == (
        NotificationSeen(PEER, 4, 0, "", sent=True),
        PeerDown(PEER, "notification sent (4,0)"),
    )


def test_a_received_notification_carries_its_text() -> None:
    note = {"code": 6, "subcode": 2, "data": "0x53", "message": "maintenance"}
    text = line("notification", {"direction": "receive", "notification": note})
    assert only(text) == NotificationSeen(PEER, 6, 2, "maintenance", sent=False)


def test_graceful_restart_flags_are_read_swapped_as_exabgp_labels_them() -> None:
    capabilities = {
        "1": {"name": "multiprotocol", "families": ["ipv4/unicast", "ipv6/unicast", "ipv4/flow"]},
        "64": {
            "name": "graceful restart", "time": 120,
            "address-family-flags": {"ipv4/unicast": ["restart"], "ipv6/unicast": []},
            "restart-flags": ["forwarding"],
        },
        "65": {"name": "asn4", "asn4": 4200000000},
    }  # fmt: skip
    opened = {"version": 4, "asn": 23456, "hold_time": 90, "capabilities": capabilities}
    text = line("open", {"direction": "receive", "open": opened})
    both = frozenset({Family.IPV4, Family.IPV6})
    kept = frozenset({Family.IPV4})
    assert only(text) == PeerOpened(
        PEER, 4200000000, both, 120, kept, restarting=True, graceful=both
    )


def test_an_open_without_capabilities_is_plain_ipv4() -> None:
    text = line("open", {"direction": "receive", "open": {"asn": 65001, "capabilities": {}}})
    ipv4 = frozenset({Family.IPV4})
    none = frozenset[Family]()
    assert only(text) == PeerOpened(PEER, 65001, ipv4, None, none, restarting=False, graceful=none)


def test_an_update_gives_withdrawals_and_paths_with_all_attributes() -> None:
    body = {
        "attribute": {
            "origin": "igp",
            "as-path": {
                "0": {"element": "as-sequence", "value": [65003, 64512]},
                "1": {"element": "as-set", "value": [7]},
            },
            "med": 0, "local-preference": 100, "community": [[64512, 1], "no-export"],
            "large-community": [[64512, 1, 2]], "originator-id": "10.99.0.9", "cluster-list": ["10.99.0.2"],
        },
        "announce": {
            "ipv4 unicast": {
                "10.99.0.2": [
                    "192.168.1.64/26",
                    {"nlri": "192.168.1.0/26", "path-information": "0.0.0.2"},
                ]
            }
        },
        "withdraw": {"ipv4 unicast": ["192.168.0.0/26"], "ipv4 flow": ["whatever"]},
    }  # fmt: skip
    event = only(update(body))
    assert isinstance(event, PathsReceived)
    assert event.withdrawn == (ip_network("192.168.0.0/26"),)
    [heard] = event.announced
    assert heard.prefixes == (ip_network("192.168.1.64/26"), ip_network("192.168.1.0/26"))
    assert heard.path == Path(
        next_hop=PEER,
        as_path=(65003, 64512, 7),
        origin="igp",
        local_preference=100,
        med=0,
        communities=("64512:1", "no-export", "64512:1:2"),
        originator_id="10.99.0.9",
        cluster_list=("10.99.0.2",),
    )


def test_the_link_local_twin_of_an_ipv6_next_hop_is_ignored() -> None:
    hops = {"fd99::2": ["fd12::/64"], "fe80::1": ["fd12::/64"]}
    event = only(update({"attribute": {}, "announce": {"ipv6 unicast": hops}}))
    assert isinstance(event, PathsReceived)
    assert [heard.path.next_hop for heard in event.announced] == [ip_address("fd99::2")]


def test_a_link_local_next_hop_that_comes_alone_is_passed_on_to_be_named() -> None:
    hops = {"fe80::1": ["fd12::/64"]}
    event = only(update({"attribute": {}, "announce": {"ipv6 unicast": hops}}))
    assert isinstance(event, PathsReceived)
    assert [heard.path.next_hop for heard in event.announced] == [ip_address("fe80::1")]


def test_end_of_rib_refresh_shutdown_and_hello() -> None:
    eor = line(
        "update", {"direction": "receive", "message": {"eor": {"afi": "ipv6", "safi": "unicast"}}}
    )
    assert only(eor) == EndOfRib(PEER, Family.IPV6)
    refresh = {"afi": "ipv4", "safi": "unicast", "subtype": "end"}
    text = line("refresh", {"direction": "receive", "route-refresh": refresh})
    assert only(text) == RefreshSeen(PEER, Family.IPV4, "end")
    assert (
        only('{"exabgp":"5.0.0","type":"notification","notification":"shutdown"}') == ShuttingDown()
    )
    hello = '{"relay": {"epoch": "1-2", "exabgp_pid": 7, "lost": true}}'
    assert only(hello) == RelayAttached("1-2", 7, lost=True)


def test_answers_and_dumps_are_told_from_events() -> None:
    assert only("done") == Acknowledged(ok=True)
    assert only("error") == Acknowledged(ok=False)
    for text in (
        "exabgp 5.0.15",
        '[{"state": "up"}]',
        '{"peer": {"address": "10.0.0.1"}, "route": {}}',
    ):
        assert only(text) == Reply(text)
    assert parse_line("") == ()


@pytest.mark.parametrize(
    "text",
    [
        "{", '{"exabgp": 5}', '{"exabgp":"5","type":"state","neighbor":{"address":{"peer":"nobody"}}}',
        update({"announce": {"ipv4 unicast": {"10.0.0.1": ["10.0.0.1/8"]}}}),
        update({"announce": {"ipv4 unicast": {"10.0.0.1": ["fd00::/8"]}}}),
        update({"announce": {"ipv4 unicast": {"null": ["10.0.0.0/8"]}}}),
        update({"announce": {"ipv4 unicast": {"10.0.0.1": [{"nlri": ["x"]}]}}}),
        update({"attribute": {"med": "many"}, "withdraw": {"ipv4 unicast": ["10.0.0.0/8"]}}),
    ],
)  # fmt: skip
def test_what_cannot_be_understood_is_named_and_dropped(text: str) -> None:
    assert isinstance(only(text), Unreadable)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.floats(allow_nan=False),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.text())
def test_no_text_makes_it_raise(text: str) -> None:
    parse_line(text)


FIELDS = [
    *("state", "reason", "message", "open", "notification"),
    *("route-refresh", "address", "direction"),
]
UPDATES = st.fixed_dictionaries(
    {"update": st.fixed_dictionaries({"announce": JSON, "attribute": JSON, "withdraw": JSON})}
)
CAPABILITIES = st.dictionaries(
    st.sampled_from(["1", "64", "65"]),
    st.dictionaries(
        st.sampled_from(["families", "time", "address-family-flags", "restart-flags", "asn4"]), JSON
    ),
)
OPENS = st.fixed_dictionaries({"asn": st.integers(), "capabilities": CAPABILITIES})


@given(
    st.sampled_from(["state", "open", "update", "notification", "refresh", "keepalive"]),
    st.dictionaries(st.sampled_from(FIELDS), JSON | UPDATES | OPENS),
)
def test_no_event_makes_it_raise(kind: str, neighbor: dict[str, Any]) -> None:
    parse_line(line(kind, neighbor))


def test_fifty_thousand_updates_parse_in_about_a_second() -> None:
    lines = [
        update(
            {
                "attribute": {
                    "origin": "igp",
                    "as-path": {"0": {"element": "as-sequence", "value": [65000, number]}},
                    "med": number,
                },
                "announce": {
                    "ipv4 unicast": {"10.99.0.2": [f"10.{number >> 8}.{number & 255}.0/24"]}
                },
            }
        )
        for number in range(5000)
    ]
    started_at = time.process_time()
    for text in lines:
        parse_line(text)
    assert (time.process_time() - started_at) * 10 < 3.0


def test_commands_spell_out_peers_attributes_and_prefixes() -> None:
    rich = Attributes(
        next_hop="10.99.0.1", as_path=(64512, 65001), local_preference=100, med=5,
        communities=("64512:1", "no-export", "64512:1:2"),
    )  # fmt: skip
    peers = [PEER, ip_address("fd99::2")]
    prefixes = [ip_network("10.0.0.0/26"), ip_network("10.0.0.64/26")]
    assert announce_line(peers, rich, prefixes) == (
        "neighbor 10.99.0.2, neighbor fd99::2 announce attributes next-hop 10.99.0.1 "
        "as-path [ 64512 65001 ] local-preference 100 med 5 community [ 64512:1 no-export ] "
        "large-community [ 64512:1:2 ] nlri 10.0.0.0/26 10.0.0.64/26"
    )
    assert withdraw_line([PEER], Attributes("10.99.0.1"), prefixes[:1]) == (
        "neighbor 10.99.0.2 withdraw attributes next-hop 10.99.0.1 nlri 10.0.0.0/26"
    )
    assert eor_line(PEER, Family.IPV6) == "neighbor 10.99.0.2 announce eor ipv6 unicast"
    assert (
        refresh_line(PEER, Family.IPV4) == "neighbor 10.99.0.2 announce route-refresh ipv4 unicast"
    )
