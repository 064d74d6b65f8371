"""`felixctl ipam recover`: a store that went back is made to agree with what lives, then accepted.

The command asks, every frozen node's cni server answers under a key of its own, one plan is made of all
answers and shown. What lives no more is released, then the store is accepted: each node registers what it
has before anybody gives out a new address.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from felix_py.ctl import datastore
from felix_py.ctl.connection import Session
from felix_py.ctl.errors import CommandError, Conflict
from felix_py.datastore import codec
from felix_py.datastore.keys import (
    OWN_NODES,
    RECOVERY,
    RECOVERY_ANSWER,
    ResourceKey,
    kind_prefix,
    parse,
)
from felix_py.datastore.model import Kind, NodeName, Stored, WorkloadEndpoint
from felix_py.datastore.store import Delete, Put, Store, Transaction
from ipam.audit import snapshot_of
from ipam.errors import GaveUp, NotYours, StaleLease
from ipam.findings import Snapshot
from ipam.free import release_addresses
from ipam.gone import release_endpoint
from ipam.office import Office
from ipam.recovery import Claim, Claims, Recovery, decode, plan

ANSWER_SECONDS = 45.0
"""Frozen nodes look every two seconds whether they are asked, others every twenty."""
POLL_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Terms:
    """Nodes that will not answer, and whether to ask before anything is changed."""

    dead: tuple[NodeName, ...] = ()
    yes: bool = False
    wait_seconds: float = ANSWER_SECONDS


def recover(
    session: Session,
    terms: Terms,
    confirm: Callable[[str], None],
    wait: Callable[[float], None] = time.sleep,
) -> Iterator[str]:
    """Ask, plan, show, do; a line for each thing. Raises CommandError, Conflict."""
    with session.store() as store:
        datastore.cluster_of(store)
        nonce = secrets.token_hex(16)
        store.transact(Transaction((), (Put(RECOVERY, nonce.encode()),)))
        try:
            claims = _answers(store, nonce, terms, wait)
            snapshot = snapshot_of(store)
            made = plan(snapshot, claims)
            yield from _shown(claims, terms, made)
            if not terms.yes:
                confirm("Release what lives no more, and accept the store?")
            yield from _released(Office(store), snapshot, made)
        finally:
            _forget(store)
        yield datastore.accept(session)


def _answers(store: Store, nonce: str, terms: Terms, wait: Callable[[float], None]) -> Claims:
    """What each node says. Raises CommandError naming who did not answer."""
    left = terms.wait_seconds
    while True:
        found = _answered(store, nonce)
        silent = sorted(_nodes(store) - set(found) - set(terms.dead))
        if found and not silent:
            return found
        if left <= 0:
            break
        left -= POLL_SECONDS
        wait(POLL_SECONDS)
    if not found:
        raise CommandError(
            f"no node answered within {terms.wait_seconds:.0f} s: do their cni servers run and reach "
            "this etcd (felixctl status on a node)?"
        )
    raise CommandError(
        f"{', '.join(silent)} did not answer: start the cni server there and repeat, or name with "
        "--dead who is gone; what the store has for a dead node is believed"
    )


def _nodes(store: Store) -> set[NodeName]:
    prefix = kind_prefix(Kind.NODE)
    return {NodeName(item.key.removeprefix(prefix)) for item in store.list(prefix).items}


def _answered(store: Store, nonce: str) -> dict[NodeName, Sequence[Claim]]:
    found: dict[NodeName, Sequence[Claim]] = {}
    for item in store.list(OWN_NODES).items:
        node, _, rest = item.key.removeprefix(OWN_NODES).partition("/")
        claims = decode(item.value, nonce) if rest == RECOVERY_ANSWER else None
        if claims is not None:
            found[NodeName(node)] = claims
    return found


def _shown(claims: Claims, terms: Terms, made: Recovery) -> Iterator[str]:
    living = sum(map(len, claims.values()))
    yield f"{len(claims)} nodes answered, {living} attachments live; dead: {', '.join(terms.dead) or 'none'}"
    yield from (f"registered again: {each}" for each in made.returning)
    yield from (f"released, its pod lives no more: {path}" for path in made.endpoints)
    yield from (f"released: {each.address} of handle {each.handle_id}" for each in made.leases)
    yield from (f"CONFLICT: {each}" for each in made.conflicts)


def _released(office: Office, snapshot: Snapshot, made: Recovery) -> Iterator[str]:
    """Each as it was judged. Raises Conflict."""
    try:
        for path in made.endpoints:
            key = parse(path)
            assert isinstance(key, ResourceKey)
            seen = _as_judged(office.store, key, snapshot.endpoints[path].revision)
            if seen is None or not release_endpoint(office, key, seen):
                raise Conflict(f"{path} changed meanwhile: look again and repeat")
        freed = release_addresses(office, made.leases)
    except (StaleLease, NotYours, GaveUp) as error:
        raise Conflict(f"changed hands meanwhile, look again and repeat: {error}") from error
    yield f"{len(made.endpoints)} endpoints and {len(freed.released)} more addresses released"


def _as_judged(store: Store, key: ResourceKey, revision: int) -> Stored[WorkloadEndpoint] | None:
    """The endpoint, unless it is another by now."""
    item = store.get(key.path)
    value = codec.decode(key, item.value) if item else None
    if item is None or item.mod_revision != revision or not isinstance(value, WorkloadEndpoint):
        return None
    return Stored(value, item.value, item.create_revision, item.mod_revision)


def _forget(store: Store) -> None:
    """The question and its answers."""
    answers = [i.key for i in store.list(OWN_NODES).items if i.key.endswith(f"/{RECOVERY_ANSWER}")]
    for path in (RECOVERY, *answers):
        store.transact(Transaction((), (Delete(path),)))
