"""Frozen values of nftables: a table as wanted, and what netlink told of others' transactions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

TableName = tuple[str, str]
"""(family, name): `("inet", "felix-py")`."""


@dataclass(frozen=True, slots=True)
class NftTable:
    """One table as it should be. `body` is what stands between its braces in nft's own language: sets
    without elements, and chains. `elements` holds each set's elements, as nft spells them."""

    family: str
    name: str
    body: str
    elements: Mapping[str, frozenset[str]] = field(default_factory=dict)

    @property
    def key(self) -> TableName:
        """By what the kernel tells it from others."""
        return self.family, self.name


@dataclass(frozen=True, slots=True)
class NftTransaction:
    """What somebody committed at once: the ruleset's number afterwards, the tables it touched, and
    those of them in which chains or rules (not just elements of sets) are others now."""

    generation: int
    tables: frozenset[TableName] = frozenset()
    rules_in: frozenset[TableName] = frozenset()


@dataclass(frozen=True, slots=True)
class NftNews:
    """Transactions since the last look, in order. `lost`: some are missing."""

    transactions: tuple[NftTransaction, ...] = ()
    lost: bool = False


@dataclass(frozen=True, slots=True)
class ForwardChain:
    """A base chain at the forward hook: who forwards must pass it."""

    family: str
    table: str
    name: str
    policy: str
    """`accept` or `drop`."""

    def __str__(self) -> str:
        """As people name it."""
        return f"{self.family} {self.table} {self.name}"


class Ends(Enum):
    """What a rule without a condition does to every packet that comes to it."""

    NOTHING = "nothing"
    """The next rule has its turn: it has a condition, or only counts."""
    ACCEPTED = "accepted"
    DROPPED = "dropped"
    RETURNED = "returned"
    """Back to the calling chain; in a base chain its policy decides."""
    JUMPED = "jumped"
    """On in another chain, which may or may not come back."""


@dataclass(frozen=True, slots=True)
class ChainRule:
    """One rule of somebody's chain, as far as forwarding pods' packets is concerned.

    handle: what it is deleted by, or inserted before. admits: `in` or `out` when it is our rule that
    lets packets in from or out to pods' links; another text when it carries our mark and says
    something else; empty: not ours. target: where it jumps.
    """

    handle: int
    ends: Ends = Ends.NOTHING
    admits: str = ""
    target: str = ""
