"""Others' rules as nft and iptables tell them (texts from nft 1.0.6 and iptables 1.8.9)."""

from __future__ import annotations

from typing import Any

from felix_py.kernel.nft_model import ChainRule, Ends
from felix_py.kernel.rule_reading import read_listing, read_rule

COUNTER = {"counter": {"packets": 0, "bytes": 0}}


def rule(*expressions: dict[str, Any], comment: str = "") -> ChainRule:
    document: dict[str, Any] = {"handle": 4, "expr": list(expressions)}
    return read_rule({**document, "comment": comment} if comment else document)


def test_a_rule_without_condition_ends_every_packet() -> None:
    assert rule(COUNTER, {"drop": None}) == ChainRule(4, Ends.DROPPED)
    assert rule({"log": {"prefix": "x"}}, {"reject": {"type": "tcp reset"}}).ends is Ends.DROPPED
    assert rule(COUNTER, {"jump": {"target": "DOCKER-USER"}}) == ChainRule(
        4, Ends.JUMPED, target="DOCKER-USER"
    )


def test_iptables_extensions_are_conditions_but_for_comments() -> None:
    reject = {"xt": {"type": "target", "name": "REJECT"}}
    comment = {"xt": {"type": "match", "name": "comment"}}
    state = {"xt": {"type": "match", "name": "conntrack"}}
    assert rule(comment, COUNTER, reject).ends is Ends.DROPPED
    assert rule(state, COUNTER, {"drop": None}).ends is Ends.NOTHING
    assert rule({"xt": None}, {"drop": None}).ends is Ends.NOTHING


def test_our_rules_are_known_by_their_comment() -> None:
    match = {"match": {"op": "==", "left": {"meta": {"key": "iifname"}}, "right": "cali*"}}
    assert rule(match, {"accept": None}, comment="felix-py") == ChainRule(4, admits="in")
    assert rule(match, {"accept": None}).admits == ""
    assert rule(match, {"drop": None}, comment="felix-py").admits == "other"


def test_a_listing_of_iptables_gives_policies_and_numbered_rules() -> None:
    policies, rules = read_listing(
        "-P FORWARD DROP\n-N DOCKER-USER\n"
        "-A FORWARD -j DOCKER-USER\n"
        "-A FORWARD -i cali+ -m comment --comment felix-py -j ACCEPT\n"
        "-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n"
        '-A FORWARD -m comment --comment "the rest" -j REJECT --reject-with icmp-port-unreachable\n'
        "-A DOCKER-USER -j RETURN\n"
    )
    assert policies == {"FORWARD": "drop"}
    assert rules["FORWARD"] == [
        ChainRule(1, Ends.JUMPED, target="DOCKER-USER"),
        ChainRule(2, admits="in"),
        ChainRule(3),
        ChainRule(4, Ends.DROPPED),
    ]
    assert rules["DOCKER-USER"] == [ChainRule(1, Ends.RETURNED)]
