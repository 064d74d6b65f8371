"""Others' forward rules, read: from nft's JSON and from `iptables -S`. Pure.

Only what matters is understood: which rules no packet passes, and which are ours. A rule of which
anything is not understood counts as one with a condition.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from felix_py.kernel.nft_model import ChainRule, Ends
from felix_py.kernel.ownership import LINK_PREFIX, NFT_TABLE

MARK = NFT_TABLE
"""The comment of our rules in others' chains."""
IN, OUT, OTHER = "in", "out", "other"

_BY_NFT = {
    "accept": Ends.ACCEPTED,
    "drop": Ends.DROPPED,
    "reject": Ends.DROPPED,
    "return": Ends.RETURNED,
    "jump": Ends.JUMPED,
    "goto": Ends.JUMPED,
}
_UNCONDITIONAL = frozenset({"counter", "log"})
_META = {"iifname": IN, "oifname": OUT}
_BY_IPTABLES = {
    "ACCEPT": Ends.ACCEPTED,
    "DROP": Ends.DROPPED,
    "REJECT": Ends.DROPPED,
    "RETURN": Ends.RETURNED,
}
_FLAGS = {"-i": IN, "-o": OUT}


def read_rule(rule: Mapping[str, Any]) -> ChainRule:
    """One rule as nft's JSON has it."""
    expressions = [each for each in rule.get("expr", ()) if isinstance(each, dict)]
    admits = ""
    if rule.get("comment") == MARK:
        admits = _admits_by_nft(expressions)
    ends, target = _end_by_nft(expressions)
    return ChainRule(int(rule["handle"]), ends, admits, target)


def _admits_by_nft(expressions: Sequence[Mapping[str, Any]]) -> str:
    match expressions:
        case [
            {
                "match": {
                    "op": "==",
                    "left": {"meta": {"key": key}},
                    "right": right,
                }
            },
            {"accept": _},
        ] if right == f"{LINK_PREFIX}*":
            return _META.get(key, OTHER)
        case _:
            return OTHER


def _end_by_nft(expressions: Sequence[Mapping[str, Any]]) -> tuple[Ends, str]:
    for expression in expressions:
        what, value = next(iter(expression.items()), ("", None))
        if what in _BY_NFT:
            target = value.get("target", "") if isinstance(value, dict) else ""
            return _BY_NFT[what], target if what in {"jump", "goto"} else ""
        if what == "xt" and isinstance(value, dict):
            if (value.get("type"), value.get("name")) == ("target", "REJECT"):
                return Ends.DROPPED, ""
            if (value.get("type"), value.get("name")) == ("match", "comment"):
                continue
        if what not in _UNCONDITIONAL:
            return Ends.NOTHING, ""
    return Ends.NOTHING, ""


def read_listing(text: str) -> tuple[dict[str, str], dict[str, list[ChainRule]]]:
    """`iptables -S`: the policies of built-in chains, and each chain's rules with their numbers.

    -P FORWARD DROP
    -A FORWARD -i cali+ -m comment --comment felix-py -j ACCEPT
    """
    policies: dict[str, str] = {}
    rules: dict[str, list[ChainRule]] = {}
    for line in text.splitlines():
        try:
            words = shlex.split(line)
        except ValueError:
            continue
        if words[:1] == ["-P"] and len(words) >= 3:
            policies[words[1]] = words[2].lower()
        elif words[:1] == ["-A"] and len(words) >= 2:
            chain = rules.setdefault(words[1], [])
            chain.append(_by_iptables(len(chain) + 1, words[2:]))
    return policies, rules


def _by_iptables(number: int, words: Sequence[str]) -> ChainRule:
    match words:
        case [flag, link, "-m", "comment", "--comment", comment, "-j", "ACCEPT"] if comment == MARK:
            ours = _FLAGS.get(flag, OTHER) if link == f"{LINK_PREFIX}+" else OTHER
            return ChainRule(number, Ends.NOTHING, ours)
    rest = list(words)
    marked = False
    if rest[:3] == ["-m", "comment", "--comment"]:
        marked, rest = rest[3:4] == [MARK], rest[4:]
    admits = OTHER if marked else ""
    if len(rest) >= 2 and rest[0] in {"-j", "-g"} and rest[1] != "LOG":
        ends = _BY_IPTABLES.get(rest[1], Ends.JUMPED)
        return ChainRule(number, ends, admits, rest[1] if ends is Ends.JUMPED else "")
    return ChainRule(number, Ends.NOTHING, admits)
