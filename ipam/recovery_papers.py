"""What is written under the recovery's keys: the question with its leader, and a node's answer. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from dataclasses import dataclass
from ipaddress import ip_address

import msgspec

from felix_py.datastore.model import HandleId, IPAddress, NodeName

MOST_MISSED = 100
"""Names in an answer; a store that lacks more nodes than these is no work for machines."""


class Question(msgspec.Struct, frozen=True):
    """Who leads a recovery, and what holds it up."""

    nonce: str
    by: str
    """A node, or `felixctl` on behalf of a person."""
    beat: int = 0
    """Rises as long as the leader lives."""
    said: str = ""
    """One sentence for people: what the recovery waits for."""
    nodes: str = ""
    """A digest of the nodes that the store has: who remembers the same ones need not list them."""

    @property
    def is_persons(self) -> bool:
        """Asked by felixctl."""
        return self.by == PERSON


PERSON = "felixctl"


@dataclass(frozen=True, slots=True)
class Claim:
    """One attachment that lives: its handle, its endpoint's key, its container and its addresses.

    A tunnel device's addresses have neither endpoint nor container.
    """

    handle_id: HandleId
    endpoint: str
    container_id: str
    addresses: tuple[IPAddress, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a node says: what lives there, and what it knows that the store may not."""

    living: tuple[Claim, ...]
    manual: bool = False
    """The node is set to wait for a person."""
    remembers: bool = True
    """It knows which nodes there were."""
    missed: tuple[str, ...] = ()
    """Nodes that it knew and the store does not; one more than MOST_MISSED: there are more."""


class _Told(msgspec.Struct, rename="camel"):
    nonce: str
    living: list[tuple[str, str, str, list[str]]]
    manual: bool = False
    remembers: bool = False
    missed: list[str] = []


def encode_question(question: Question) -> bytes:
    """As it is stored."""
    return msgspec.json.encode(question)


def decode_question(raw: bytes) -> Question | None:
    """None: it cannot be read."""
    try:
        return msgspec.json.decode(raw, type=Question)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None


def encode(nonce: str, answer: Answer) -> bytes:
    """A node's answer to the question with this nonce."""
    document = {
        "nonce": nonce,
        "manual": answer.manual,
        "remembers": answer.remembers,
        "missed": list(answer.missed[: MOST_MISSED + 1]),
        "living": [
            [claim.handle_id, claim.endpoint, claim.container_id, [str(a) for a in claim.addresses]]
            for claim in answer.living
        ],
    }
    return json.dumps(document, separators=(",", ":")).encode()


def decode(raw: bytes, nonce: str) -> Answer | None:
    """None: no answer to this question, or none that can be read."""
    try:
        told = msgspec.json.decode(raw, type=_Told)
        if told.nonce != nonce:
            return None
        claims = tuple(
            Claim(HandleId(handle), path, container, tuple(ip_address(a) for a in addresses))
            for handle, path, container, addresses in told.living
        )
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    return Answer(claims, told.manual, told.remembers, tuple(told.missed))


def digest_of(nodes: Collection[NodeName]) -> str:
    """The same names give the same text."""
    return hashlib.sha256("\n".join(sorted(nodes)).encode()).hexdigest()[:16]


def missed(known: Collection[NodeName], stored: Collection[NodeName]) -> tuple[str, ...]:
    """Which nodes of memory the store lacks, as an answer says it."""
    return tuple(sorted(set(known) - set(stored)))[: MOST_MISSED + 1]
