"""Random stories of administrators and pods, told to one world or to several at once.

A subclass gives the worlds; each step is asked of all of them, and they must answer alike.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tests.unit.ipam.contested import ALL, HANDLES, NODES, POOLS, RESERVATIONS, SIZES
from tests.unit.ipam.world import Committed, World

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

    @rule(nodes=st.permutations(NODES), handle=HANDLE, address=ADDRESS, kind=st.integers(0, 7))
    def something_comes_between(
        self, nodes: list[str], handle: str, address: str, kind: int
    ) -> None:
        """Before the next transaction of a node about a handle is sent."""
        node, other, _ = nodes
        happens: list[Callable[[World], object]] = [
            lambda world: world.assign(other, handle, (4,), 1),
            lambda world: world.assign_given(other, handle, address),
            lambda world: world.release(other, handle),
            lambda world: world.give_up_blocks(node),
            lambda world: world.reserve(POOLS["big"][0]),
            lambda world: world.switch("big"),
            lambda world: world.resize("big", 29),
            lambda world: world.set_strict(strict=not world.strict),
        ]
        self._each(lambda world: world.between(node, happens[kind]))

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

    @rule(size=st.sampled_from([(pool, size) for pool in sorted(SIZES) for size in SIZES[pool]]))
    def resize(self, size: tuple[str, int]) -> None:
        self._each(lambda world: world.resize(*size))

    @rule(cidr=st.sampled_from(RESERVATIONS))
    def reserve(self, cidr: str) -> None:
        self._each(lambda world: world.reserve(cidr))

    @rule()
    def mend(self) -> None:
        self._each(lambda world: world.mend())

    @rule()
    def minutes_pass(self) -> None:
        self._each(lambda world: world.pass_time(120))

    @invariant()
    def all_is_true(self) -> None:
        for world in self.worlds:
            world.check()
