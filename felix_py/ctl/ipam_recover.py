"""`felixctl ipam recover`: a store that went back is made to agree with what lives, then accepted.

The command closes the gate and asks, every node's cni server answers under a key of its own, one plan is
made of all answers and shown. What lives no more is released, then the store is accepted and the gate
opened: each node registers what it has before anybody gives out a new address. A recovery that nodes lead
by themselves (cni/recovery_leader.py) stands back for it.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from felix_py.ctl import datastore
from felix_py.ctl.connection import Session
from felix_py.ctl.errors import CommandError, Conflict
from felix_py.datastore import gate
from felix_py.datastore.keys import RECOVERY_QUESTION
from felix_py.datastore.model import NodeName
from felix_py.datastore.store import ModRevisionIs, Put, Store, Transaction
from ipam import recovering
from ipam.audit import snapshot_of
from ipam.errors import GaveUp, NotYours, StaleLease
from ipam.recovery import Recovery, plan
from ipam.recovery_papers import PERSON, Question, digest_of, encode_question
from ipam.recovery_verdict import Answers, silent

ANSWER_SECONDS = 45.0
"""Nodes look every two seconds whether they are asked, once they see that the gate is closed."""
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
        closed_here = _close(store)
        nodes = digest_of(recovering.nodes_of(store))
        question = Question(secrets.token_hex(16), PERSON, nodes=nodes)
        asked = Transaction((), (Put(RECOVERY_QUESTION, encode_question(question)),))
        posed = store.transact(asked).revision
        done = False
        try:
            answers = _answers(store, question.nonce, terms, wait)
            claims = {node: answer.living for node, answer in answers.items()}
            snapshot = snapshot_of(store)
            made = plan(snapshot, claims)
            yield from _shown(answers, terms, made)
            if not terms.yes:
                confirm("Release what lives no more, and accept the store?")
            try:
                endpoints, more = recovering.release(store, snapshot, made)
            except (StaleLease, NotYours, GaveUp) as error:
                changed = f"changed hands meanwhile, look again and repeat: {error}"
                raise Conflict(changed) from error
            yield f"{endpoints} endpoints and {more} more addresses released"
            said = _opened(store, posed)
            done = True
        finally:
            if not done:
                _withdraw(store, reopen=closed_here)
        yield said


def _close(store: Store) -> bool:
    """Nobody gives out an address while it is asked what lives; whether that took a write of ours."""
    found = datastore.gate_of(store)[0]
    if not found.is_open:
        return False
    if not gate.close(store, found, PERSON, "felixctl ipam recover"):
        raise Conflict("ClusterInformation(default): changed just now; look at it and try again")
    return True


def _opened(store: Store, posed: int) -> str:
    found, revision = datastore.gate_of(store)
    also = (ModRevisionIs(RECOVERY_QUESTION, posed),)
    if not recovering.accept_and_open(store, found, revision, also):
        raise Conflict("another recovery began meanwhile: look at `felixctl status` and repeat")
    return datastore.accepted_text(found, revision)


def _withdraw(store: Store, *, reopen: bool) -> None:
    """Nothing was decided: no question stands any more, and the gate is as it was."""
    recovering.forget(store)
    found = datastore.gate_of(store)[0]
    if reopen and found.ours:
        store.transact(Transaction((found.unchanged,), found.opening()))


def _answers(store: Store, nonce: str, terms: Terms, wait: Callable[[float], None]) -> Answers:
    """What each node says. Raises CommandError naming who did not answer."""
    left = terms.wait_seconds
    while True:
        found = recovering.answers_to(store, nonce)
        quiet = sorted(set(silent(recovering.nodes_of(store), found)) - set(terms.dead))
        if found and not quiet:
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
        f"{', '.join(quiet)} did not answer: start the cni server there and repeat, or name with "
        "--dead who is gone; what the store has for a dead node is believed"
    )


def _shown(answers: Answers, terms: Terms, made: Recovery) -> Iterator[str]:
    living = sum(bool(claim.endpoint) for answer in answers.values() for claim in answer.living)
    yield f"{len(answers)} nodes answered, {living} attachments live; dead: {', '.join(terms.dead) or 'none'}"
    yield from (f"registered again: {each}" for each in made.returning)
    yield from (f"released, its pod lives no more: {path}" for path in made.endpoints)
    yield from (f"released: {each.address} of handle {each.handle_id}" for each in made.leases)
    yield from (f"CONFLICT: {each}" for each in (*made.conflicts, *made.undecided))
