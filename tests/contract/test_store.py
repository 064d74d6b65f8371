"""What every store does: the same tests on the store in memory and on a real etcd."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from felix_py.datastore.errors import RevisionCompacted, StoreAway, StoreRefused, StoreWentBack
from felix_py.datastore.etcd_store import EtcdStore
from felix_py.datastore.memory_store import MemoryStore
from felix_py.datastore.store import (
    Compare,
    CreateRevisionIs,
    Delete,
    Event,
    ModRevisionIs,
    Outcome,
    PrefixUnchangedSince,
    Put,
    Store,
    Transaction,
    Watch,
    Write,
)
from tests.support.etcd import EtcdServer

PATIENCE_SECONDS = 10.0


class Subject:
    """A store and how to compact it."""

    def __init__(self, store: Store, server: EtcdServer | None) -> None:
        self.store = store
        self._server = server

    def compact(self) -> None:
        if self._server is not None:
            self._server.compact()
        else:
            assert isinstance(self.store, MemoryStore)
            self.store.compact()

    def do(self, *writes: Write, compares: tuple[Compare, ...] = ()) -> Outcome:
        return self.store.transact(Transaction(compares, writes))

    def put(self, key: str, value: bytes = b"v") -> int:
        return self.do(Put(key, value)).revision


@pytest.fixture(params=["memory", pytest.param("etcd", marks=pytest.mark.etcd)])
def subject(request: pytest.FixtureRequest) -> Iterator[Subject]:
    if request.param == "memory":
        memory = MemoryStore()
        yield Subject(memory, None)
        memory.close()
        return
    server = request.getfixturevalue("etcd")
    store = EtcdStore.connect(server.settings)
    yield Subject(store, server)
    store.close()


def collect(watch: Watch, how_many: int) -> list[Event]:
    """So many events, or what came in time."""
    events: list[Event] = []
    deadline = time.monotonic() + PATIENCE_SECONDS
    while len(events) < how_many and time.monotonic() < deadline:
        batch = watch.next(0.2)
        if batch is not None:
            assert all(event.revision <= batch.revision for event in batch.events)
            events.extend(batch.events)
    return events


def await_error(watch: Watch) -> None:
    """Read on until the watch raises."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        watch.next(0.2)


def test_revisions_and_versions_count_up(subject: Subject) -> None:
    first = subject.put("/calico/a", b"1")
    second = subject.put("/calico/a", b"2")
    held = subject.store.get("/calico/a")
    assert held is not None
    assert (held.value, held.version) == (b"2", 2)
    assert (held.create_revision, held.mod_revision) == (first, second)
    assert second == first + 1
    subject.do(Delete("/calico/a"))
    assert subject.store.get("/calico/a") is None
    third = subject.put("/calico/a", b"3")
    held = subject.store.get("/calico/a")
    assert held is not None
    assert (held.create_revision, held.version) == (third, 1)


def test_deleting_what_is_absent_is_fine_and_moves_nothing(subject: Subject) -> None:
    before = subject.put("/calico/a")
    outcome = subject.do(Delete("/calico/b"))
    assert (outcome.succeeded, outcome.revision) == (True, before)


def test_several_keys_are_read_at_one_revision(subject: Subject) -> None:
    subject.put("/calico/a", b"1")
    at = subject.put("/calico/b", b"2")
    found, revision = subject.store.get_many(["/calico/b", "/calico/none", "/calico/a"])
    assert revision == at
    assert {key: value and value.value for key, value in found.items()} == {
        "/calico/b": b"2",
        "/calico/none": None,
        "/calico/a": b"1",
    }


def test_a_listing_has_byte_order_and_only_its_prefix(subject: Subject) -> None:
    for key in ("/calico/b/10.2", "/calico/b/10.10", "/calico/bb", "/calico/b/ü", "/calico/a"):
        subject.put(key)
    listing = subject.store.list("/calico/b/")
    assert [item.key for item in listing.items] == [
        *("/calico/b/10.10", "/calico/b/10.2", "/calico/b/ü")
    ]
    assert len(subject.store.list("").items) == 5


def test_a_listing_at_an_old_revision_shows_the_old(subject: Subject) -> None:
    at = subject.put("/calico/a", b"1")
    subject.put("/calico/a", b"2")
    subject.put("/calico/b")
    listing = subject.store.list("/calico/", revision=at)
    assert [(item.key, item.value) for item in listing.items] == [("/calico/a", b"1")]
    assert listing.revision == at
    assert listing.cluster_id


def test_pages_are_of_one_revision_whatever_is_written_between_them(subject: Subject) -> None:
    keys = [f"/calico/k{number:04d}" for number in range(1_205)]
    for first in range(0, len(keys), 100):
        subject.do(*(Put(key, b"v") for key in keys[first : first + 100]))
    found: list[str] = []
    revisions: set[int] = set()
    for page in subject.store.pages("/calico/"):
        subject.put(f"/calico/later{len(found)}")
        found += [item.key for item in page.items]
        revisions.add(page.revision)
    assert found == keys
    assert len(revisions) == 1
    assert [page.items for page in subject.store.pages("/nothing/")] == [()]


def test_a_listing_may_be_keys_only_and_limited(subject: Subject) -> None:
    for number in range(5):
        subject.put(f"/calico/{number}", b"value")
    listing = subject.store.list("/calico/", keys_only=True, limit=2)
    assert [(item.key, item.value) for item in listing.items] == [
        *(("/calico/0", b""), ("/calico/1", b""))
    ]


def test_a_compacted_revision_cannot_be_listed(subject: Subject) -> None:
    at = subject.put("/calico/a")
    subject.put("/calico/a")
    subject.compact()
    with pytest.raises(RevisionCompacted):
        subject.store.list("/calico/", revision=at)


def test_a_revision_of_the_future_cannot_be_listed(subject: Subject) -> None:
    at = subject.put("/calico/a")
    with pytest.raises(StoreWentBack):
        subject.store.list("/calico/", revision=at + 100)


def test_compares_of_one_key(subject: Subject) -> None:
    created = subject.put("/calico/a")
    modified = subject.put("/calico/a")
    for compare, expected in (
        (ModRevisionIs("/calico/a", modified), True),
        (ModRevisionIs("/calico/a", created), False),
        (ModRevisionIs("/calico/none", 0), True),
        (ModRevisionIs("/calico/a", 0), False),
        (CreateRevisionIs("/calico/a", created), True),
        (CreateRevisionIs("/calico/a", modified), False),
        (CreateRevisionIs("/calico/none", 0), True),
    ):
        outcome = subject.do(Put("/calico/x", b""), compares=(compare,))
        assert outcome.succeeded is expected, compare


def test_a_prefix_is_unchanged_since_its_last_write(subject: Subject) -> None:
    assert subject.do(compares=(PrefixUnchangedSince("/calico/r/", 0),)).succeeded
    subject.put("/calico/r/a")
    at = subject.put("/calico/r/b")
    subject.put("/calico/rr")
    assert subject.do(compares=(PrefixUnchangedSince("/calico/r/", at),)).succeeded
    assert not subject.do(compares=(PrefixUnchangedSince("/calico/r/", at - 1),)).succeeded


def test_a_failed_transaction_changes_nothing_and_reads_what_was_asked(subject: Subject) -> None:
    at = subject.put("/calico/a", b"1")
    outcome = subject.store.transact(
        Transaction(
            (ModRevisionIs("/calico/a", at), ModRevisionIs("/calico/a", at + 7)),
            (Put("/calico/b", b"2"),),
            ("/calico/a", "/calico/b"),
        )
    )
    assert (outcome.succeeded, outcome.revision) == (False, at)
    found = outcome.found["/calico/a"]
    assert found is not None
    assert (found.value, outcome.found["/calico/b"]) == (b"1", None)


def test_all_writes_of_a_transaction_share_one_revision(subject: Subject) -> None:
    subject.put("/calico/gone")
    outcome = subject.do(Put("/calico/a", b"1"), Put("/calico/b", b"2"), Delete("/calico/gone"))
    items = subject.store.list("/calico/").items
    assert {item.mod_revision for item in items} == {outcome.revision}
    assert [item.key for item in items] == ["/calico/a", "/calico/b"]


def test_the_limits_are_etcds(subject: Subject) -> None:
    writes = tuple(Put(f"/calico/{n}", b"") for n in range(128))
    compares = tuple(ModRevisionIs(f"/calico/{n}", 0) for n in range(128))
    assert subject.store.transact(Transaction(compares, writes)).succeeded
    for transaction in (
        Transaction((), (*writes, Put("/calico/more", b""))),
        Transaction((*compares, ModRevisionIs("/calico/more", 0)), ()),
        Transaction((), (Put("/calico/a", b"1"), Put("/calico/a", b"2"))),
        Transaction((), (Put("/calico/big", b"x" * 1_600_000),)),
    ):
        with pytest.raises(StoreRefused):
            subject.store.transact(transaction)
    with pytest.raises(StoreRefused):
        subject.store.get_many([f"/calico/{n}" for n in range(129)])


def test_a_watch_tells_everything_after_its_revision_in_order(subject: Subject) -> None:
    subject.put("/calico/a", b"before")
    at = subject.put("/calico/b", b"seen")
    subject.put("/calico/a", b"1")
    watch = subject.store.watch(["/calico/"], at)
    try:
        subject.put("/other", b"no")
        subject.do(Put("/calico/c", b"2"), Delete("/calico/b"))
        events = collect(watch, 3)
    finally:
        watch.close()
    assert [(event.key, event.value and event.value.value, event.revision) for event in events] == [
        ("/calico/a", b"1", at + 1),
        ("/calico/c", b"2", at + 3),
        ("/calico/b", None, at + 3),
    ]


def test_a_watch_of_several_prefixes_tells_of_each(subject: Subject) -> None:
    at = subject.put("/calico/x")
    watch = subject.store.watch(["/calico/a/", "/felix-py/", "/calico/c/"], at)
    try:
        subject.do(Put("/calico/c/1", b""), Put("/felix-py/1", b""), Put("/calico/b/1", b""))
        subject.put("/calico/a/1")
        events = collect(watch, 3)
    finally:
        watch.close()
    assert {event.key for event in events} == {"/calico/c/1", "/felix-py/1", "/calico/a/1"}


def test_a_quiet_watch_says_nothing_in_time(subject: Subject) -> None:
    watch = subject.store.watch(["/calico/"], subject.put("/calico/a"))
    try:
        started = time.monotonic()
        assert watch.next(0.2) is None
        assert time.monotonic() - started < 5
    finally:
        watch.close()


def test_a_watch_from_compacted_history_says_so(subject: Subject) -> None:
    at = subject.put("/calico/a")
    for _ in range(3):
        subject.put("/calico/a")
    subject.compact()
    watch = subject.store.watch(["/calico/"], at)
    try:
        with pytest.raises(RevisionCompacted):
            await_error(watch)
    finally:
        watch.close()


def test_a_closed_watch_raises_and_closing_twice_is_fine(subject: Subject) -> None:
    watch = subject.store.watch(["/calico/"], subject.put("/calico/a"))
    watch.close()
    watch.close()
    with pytest.raises(StoreAway):
        watch.next(0.1)


def test_a_closed_store_is_away_and_its_watches_end(subject: Subject) -> None:
    watch = subject.store.watch(["/calico/"], subject.put("/calico/a"))
    subject.store.close()
    subject.store.close()
    with pytest.raises(StoreAway):
        await_error(watch)
    with pytest.raises(StoreAway):
        subject.store.get("/calico/a")
    with pytest.raises(StoreAway):
        subject.store.watch(["/calico/"], 1)
    watch.close()


def test_many_threads_race_for_one_key_and_one_wins(subject: Subject) -> None:
    winners: list[int] = []

    def claim(number: int) -> None:
        transaction = Transaction(
            (ModRevisionIs("/calico/a", 0),), (Put("/calico/a", b"%d" % number),)
        )
        if subject.store.transact(transaction).succeeded:
            winners.append(number)

    threads = [threading.Thread(target=claim, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    held = subject.store.get("/calico/a")
    assert held is not None
    assert [b"%d" % number for number in winners] == [held.value]
