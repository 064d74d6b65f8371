"""Where our rules stand in others' forward chains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from felix_py.agent.calc.forwarding import Admission, admission
from felix_py.kernel.nft_model import ChainRule, Ends

DROP, OTHERS = ChainRule(9, Ends.DROPPED), ChainRule(3)
OURS = (ChainRule(5, admits="in"), ChainRule(6, admits="out"))


def settled(
    policy: str, *rules: ChainRule, chains: Mapping[str, Sequence[ChainRule]] | None = None
) -> Admission:
    return admission(policy, rules, lambda name: (chains or {}).get(name, ()))


def test_a_chain_that_accepts_by_default_is_left_alone() -> None:
    assert settled("accept", OTHERS) == Admission()
    assert settled("accept", OTHERS, ChainRule(4, Ends.RETURNED), DROP) == Admission()
    assert settled("drop", ChainRule(4, Ends.ACCEPTED), DROP) == Admission()


def test_where_the_policy_drops_our_rules_come_last() -> None:
    assert settled("drop", OTHERS) == Admission(blocks=True, add=("in", "out"))


def test_where_a_rule_drops_the_rest_our_rules_come_just_before_it() -> None:
    wanted = Admission(blocks=True, add=("in", "out"), before=9)
    assert settled("accept", OTHERS, DROP) == wanted
    assert settled("drop", OTHERS, DROP) == wanted


def test_a_chain_that_is_jumped_to_and_lets_nobody_back_counts_as_a_drop() -> None:
    jump = ChainRule(7, Ends.JUMPED, target="REJECTS")
    assert settled("accept", OTHERS, jump, chains={"REJECTS": [OTHERS, DROP]}) == Admission(
        blocks=True, add=("in", "out"), before=7
    )
    returning = [ChainRule(1, Ends.RETURNED), DROP]
    assert settled("accept", jump, chains={"REJECTS": returning}) == Admission()
    assert settled("drop", jump, chains={"REJECTS": [ChainRule(1, Ends.ACCEPTED)]}) == Admission()


def test_chains_that_call_each_other_for_ever_do_not() -> None:
    jump = ChainRule(7, Ends.JUMPED, target="SELF")
    assert settled("accept", jump, chains={"SELF": [jump]}) == Admission()


def test_our_rules_stay_where_they_are_of_use_and_are_not_put_twice() -> None:
    assert settled("drop", OTHERS, *OURS) == Admission(blocks=True)
    assert settled("accept", *OURS, DROP) == Admission(blocks=True, before=9)
    assert settled("drop", *OURS, ChainRule(7, admits="in")) == Admission(blocks=True, delete=(7,))


def test_our_rules_behind_a_drop_move_before_it() -> None:
    assert settled("drop", DROP, *OURS) == Admission(
        blocks=True, delete=(6, 5), add=("in", "out"), before=9
    )


def test_our_rules_go_when_the_chain_drops_nobody_any_more() -> None:
    assert settled("accept", OTHERS, *OURS) == Admission(delete=(6, 5))
