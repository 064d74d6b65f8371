"""A table is changed only where it differs; what stands unchanged is not mentioned in the script."""

from __future__ import annotations

import re
from dataclasses import replace

from felix_py.kernel.nft_pieces import Pieces, Standing, script_for, standing_of

BODY = "map from { type ifname : verdict; }\nchain passing { iifname vmap @from }"
WANTED = Pieces(
    "t",
    BODY,
    {"passing": 1},
    {"from_a": ("one", "two"), "from_b": ("three",)},
    {"from": {"cali1": "from_a", "cali2": "from_b"}},
    {"pools": frozenset({"10.0.0.0/8"})},
)
STANDS = Standing(
    {WANTED.marker: 0, "passing": 1, "from_a": 2, "from_b": 1},
    {"from": {"cali1": "from_a", "cali2": "from_b"}},
    {"pools": frozenset({"10.0.0.0/8"})},
)


def test_what_stands_as_wanted_needs_no_script() -> None:
    assert script_for(WANTED, STANDS) == ""


def test_where_nothing_or_another_body_stands_the_table_is_written_whole() -> None:
    chains = {"passing": 1, "from_a": 2, "from_b": 1}
    marker = {WANTED.marker: 0}
    for stands in (
        None,
        replace(STANDS, chains={"body_other": 0, **chains}),
        replace(STANDS, chains={**marker, **chains, "passing": 0}),
        replace(STANDS, sets={}),
    ):
        script = script_for(WANTED, stands)
        assert script.startswith("add table inet t\ndelete table inet t\ntable inet t {\n")
        assert 'add element inet t from { "cali1" : jump from_a, "cali2" : jump from_b }' in script
        assert "add element inet t pools { 10.0.0.0/8 }" in script


def test_a_change_of_one_pod_names_no_other() -> None:
    after = replace(
        WANTED,
        chains={"from_a": ("one", "two"), "from_c": ("four",)},
        maps={"from": {"cali1": "from_a", "cali2": "from_c"}},
    )
    script = script_for(after, STANDS)
    assert script.splitlines() == [
        "add chain inet t from_c",
        "add rule inet t from_c four",
        'delete element inet t from { "cali2" : jump from_b }',
        'add element inet t from { "cali2" : jump from_c }',
        "flush chain inet t from_b",
        "delete chain inet t from_b",
    ]
    assert not re.search(r"from_a|cali1|passing", script)


def test_a_chain_that_lost_a_rule_is_filled_again() -> None:
    stands = replace(STANDS, chains={**STANDS.chains, "from_a": 1})
    assert script_for(WANTED, stands).splitlines() == [
        "flush chain inet t from_a",
        "add rule inet t from_a one",
        "add rule inet t from_a two",
    ]


def test_chains_that_are_not_a_maps_are_left_alone() -> None:
    stands = replace(STANDS, chains={**STANDS.chains, "somebody": 3})
    assert script_for(WANTED, stands) == ""


def test_what_nft_lists_is_understood() -> None:
    found = standing_of(
        [
            {"metainfo": {"version": "1.0.6"}},
            {"table": {"family": "inet", "name": "t"}},
            {"chain": {"name": WANTED.marker}},
            {"rule": {"chain": "passing"}},
            {"rule": {"chain": "from_a"}},
            {"rule": {"chain": "from_a"}},
            {"rule": {"chain": "from_b"}},
            {
                "map": {
                    "name": "from",
                    "elem": [
                        ["cali1", {"jump": {"target": "from_a"}}],
                        ["cali2", {"jump": {"target": "from_b"}}],
                        ["cali3", {"drop": None}],
                    ],
                }
            },
            {"set": {"name": "pools", "elem": [{"prefix": {"addr": "10.0.0.0", "len": 8}}]}},
        ]
    )
    assert found == STANDS
