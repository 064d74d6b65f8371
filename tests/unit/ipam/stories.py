"""Random stories of administrators and pods, told to one world or to several at once.

A subclass gives the worlds; each step is asked of all of them, and they must answer alike.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tests.unit.ipam.world import ALL, HANDLES, NODES, POOLS, RESERVATIONS, Committed, World

T = TypeVar("T")

NODE, HANDLE = st.sampled_from(NODES), st.sampled_from(HANDLES)
FAMILIES = st.sampled_from([(4,), (4,), (6,), (4, 6)])
COMMITTED = st.sampled_from([(True,), (False,), (True, True), (True, False), (False, True)])
"""What became of one or two transactions that got no answer; the second settles the first."""
ADDRESS = st.sampled_from([*ALL[4], *ALL[6]])


class Stories(RuleBasedStateMachine):
    """`worlds` is set by the subclass."""

    worlds: tuple[World, ...] = ()

    def _each(self, ask: Callable[[World], T]) -> None:
        answers = [ask(world) for world in self.worlds]
        assert all(answer == answers[0] for answer in answers), answers

    @rule(node=NODE, handle=HANDLE, families=FAMILIES, count=st.sampled_from([1, 1, 1, 2, 5]))
    def assign(self, node: str, handle: str, families: tuple[int, ...], count: int) -> None:
        self._each(lambda world: world.assign(node, handle, families, count))

    @rule(node=NODE, handle=HANDLE, address=ADDRESS)
    def assign_given(self, node: str, handle: str, address: str) -> None:
        self._each(lambda world: world.assign_given(node, handle, address))

    @rule(node=NODE, handle=HANDLE)
    def release(self, node: str, handle: str) -> None:
        self._each(lambda world: world.release(node, handle))

    @rule(node=NODE, committed=COMMITTED)
    def lose_answers(self, node: str, committed: Committed) -> None:
        """Of whatever the node does next."""
        self._each(lambda world: world.lose(node, committed))

    @rule(
        nodes=st.permutations(NODES),
        step=st.sampled_from(["assign", "release", "give up"]),
        handle=HANDLE,
    )
    def something_comes_between(self, nodes: list[str], step: str, handle: str) -> None:
        """Before the next transaction of a node is sent."""
        self._each(lambda world: world.between(nodes[0], nodes[1], step, handle))

    @rule(node=NODE, handle=HANDLE, committed=COMMITTED)
    def die(self, node: str, handle: str, committed: Committed) -> None:
        self._each(lambda world: world.die_while_assigning(node, handle, committed))

    @rule(node=NODE, committed=st.one_of(st.just(()), COMMITTED))
    def restart(self, node: str, committed: Committed) -> None:
        self._each(lambda world: world.restart(node, committed))

    @rule(node=NODE)
    def give_up_blocks(self, node: str) -> None:
        self._each(lambda world: world.give_up_blocks(node))

    @rule(strict=st.booleans())
    def set_strict(self, *, strict: bool) -> None:
        self._each(lambda world: world.set_strict(strict=strict))

    @rule(pool=st.sampled_from(sorted(POOLS)))
    def switch(self, pool: str) -> None:
        self._each(lambda world: world.switch(pool))

    @rule(cidr=st.sampled_from(RESERVATIONS))
    def reserve(self, cidr: str) -> None:
        self._each(lambda world: world.reserve(cidr))

    @rule()
    def minutes_pass(self) -> None:
        self._each(lambda world: world.pass_time(120))

    @invariant()
    def all_is_true(self) -> None:
        for world in self.worlds:
            world.check()
