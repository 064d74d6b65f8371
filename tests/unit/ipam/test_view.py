"""What the view believes when the watch is behind our own writes, and when the store goes back."""

from __future__ import annotations

from ipaddress import ip_network

from felix_py.datastore.changes import STORE_STATE, Change, StoreState
from felix_py.datastore.keys import AffinityKey, BlockKey, HandleKey
from felix_py.datastore.model import (
    AffinityState,
    BlockAffinity,
    HandleId,
    Invalid,
    NodeName,
    Stored,
)
from ipam.seen import UNREADABLE, Seen
from ipam.view import MAX_REMEMBERED, View
from ipam.watched import CONFIG

KEY = AffinityKey(NodeName("a"), ip_network("10.0.0.0/29"))
CONFIRMED = BlockAffinity(AffinityState.CONFIRMED)


def acting() -> View:
    view = View(NodeName("a"))
    view.fold({STORE_STATE: StoreState(True, True, None, 5)})
    return view


def change(revision: int, state: AffinityState = AffinityState.CONFIRMED) -> Change:
    return Change(Stored(BlockAffinity(state), b"{}", revision, revision))


def test_old_news_does_not_undo_what_we_wrote() -> None:
    view = acting()
    view.learn(KEY, Seen(CONFIRMED, b"", 9, 9, 9))
    view.fold({KEY: change(7, AffinityState.PENDING)})
    assert view.affinities == ((KEY, CONFIRMED),)
    view.fold({KEY: change(10, AffinityState.PENDING_DELETION)})
    assert view.affinities[0][1].state is AffinityState.PENDING_DELETION


def test_what_we_deleted_does_not_come_back_by_old_news() -> None:
    view = acting()
    view.learn(KEY, Seen(as_of=9))
    view.fold({KEY: change(7)})
    assert view.affinities == ()


def test_after_the_store_went_back_lower_revisions_are_believed_and_own_knowledge_is_dropped() -> (
    None
):
    view = acting()
    view.learn(BlockKey(KEY.cidr), Seen(None, b"x", 90, 90, 90))
    view.learn(KEY, Seen(CONFIRMED, b"", 90, 90, 90))
    view.fold({STORE_STATE: StoreState(True, True, "went back", 90)})
    assert view.get(BlockKey(KEY.cidr)) is None
    view.fold({KEY: change(7), STORE_STATE: StoreState(True, True, None, 8)})
    fact = view.get(KEY)
    assert fact is not None
    assert (fact.mod_revision, view.reservations_as_of) == (7, 8)


def test_an_invalid_value_counts_as_absent_but_its_key_as_taken() -> None:
    view = acting()
    view.fold({CONFIG: Change(None, Invalid("no"))})
    fact = view.get(CONFIG)
    assert fact is not None
    assert (fact.exists, fact.mod_revision) == (True, UNREADABLE)
    assert view.config.auto_allocate_blocks


def test_remembered_handles_are_bounded() -> None:
    view = acting()
    for number in range(MAX_REMEMBERED + 1):
        view.learn(HandleKey(HandleId(f"h{number}")), Seen(as_of=1))
    assert len(view.facts) <= MAX_REMEMBERED
    assert view.get(HandleKey(HandleId("h0"))) is None


def test_other_nodes_blocks_are_forgotten_after_each_round() -> None:
    view = acting()
    view.learn(KEY, Seen(CONFIRMED, b"", 6, 6, 6))
    mine, other = BlockKey(KEY.cidr), BlockKey(ip_network("10.0.0.8/29"))
    view.learn(mine, Seen(None, b"", 6, 6, 6))
    view.learn(other, Seen(None, b"", 6, 6, 6))
    view.end_round()
    assert (view.get(mine) is not None, view.get(other)) == (True, None)
