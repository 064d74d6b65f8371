"""A planned apply and others who write meanwhile, on the store in memory and on a real etcd."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, cast

import pytest

from felix_py.ctl.documents import Document, of_mapping
from felix_py.ctl.errors import Conflict
from felix_py.ctl.plan_apply import Agreement, Consent, NotAgreed, apply
from felix_py.ctl.writer import Writer
from felix_py.datastore.etcd_store import EtcdStore
from felix_py.datastore.keys import RESOURCES
from felix_py.datastore.memory_store import MemoryStore
from felix_py.datastore.store import Delete, Outcome, Put, Store, Transaction
from tests.support.etcd import EtcdServer

POOL = {"cidr": "10.244.0.0/16"}
SHUT = POOL | {"disabled": True}
MANY = 120
YES = Consent(yes=True)


@pytest.fixture(params=["memory", pytest.param("etcd", marks=pytest.mark.etcd)])
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    """With a node and two pools."""
    made: Store = MemoryStore()
    if request.param == "etcd":
        server: EtcdServer = request.getfixturevalue("etcd")
        made = EtcdStore.connect(server.settings)
    spare = stored("IPPool", "ippools/spare", {"cidr": "10.245.0.0/16", "disabled": True})
    pool = stored("IPPool", "ippools/main", POOL)
    made.transact(Transaction((), (node("a1", "10.0.1.1/24"), pool, spare)))
    yield made
    made.close()


class Racing:
    """A store where somebody else does something just before each of the first transactions."""

    def __init__(self, inner: Store, *acts: Put | Delete) -> None:
        self._inner = inner
        self._acts = list(acts)

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)

    def transact(self, transaction: Transaction) -> Outcome:
        if self._acts:
            self._inner.transact(Transaction((), (self._acts.pop(0),)))
        return self._inner.transact(transaction)


def racing(inner: Store, *acts: Put | Delete) -> Store:
    return cast("Store", Racing(inner, *acts))


def stored(kind: str, path: str, spec: dict[str, Any]) -> Put:
    meta = {"name": path.rsplit("/", 1)[1], "uid": "u", "creationTimestamp": "2026-01-01T00:00:00Z"}
    document = {"apiVersion": "projectcalico.org/v3", "kind": kind, "metadata": meta, "spec": spec}
    return Put(RESOURCES + path, json.dumps(document).encode())


def node(name: str, address: str) -> Put:
    return stored("Node", f"nodes/{name}", {"bgp": {"ipv4Address": address}})


def wanted(name: str, spec: dict[str, Any]) -> Document:
    head = {"apiVersion": "projectcalico.org/v3", "kind": "IPPool", "metadata": {"name": name}}
    return of_mapping({**head, "spec": spec}, "test")


def is_shut(store: Store) -> bool:
    found = store.get(f"{RESOURCES}ippools/main")
    assert found is not None
    return json.loads(found.value)["spec"].get("disabled") is True


def test_what_nobody_touches_is_written(store: Store) -> None:
    assert list(apply(store, [wanted("main", SHUT)], YES).values()) == ["IPPool(main) changed"]
    assert is_shut(store)


def test_a_change_that_alters_no_effect_meanwhile_does_not_matter(store: Store) -> None:
    others = racing(store, node("a1", "10.0.1.7/24"))
    assert list(apply(others, [wanted("main", SHUT)], YES).values()) == ["IPPool(main) changed"]
    assert is_shut(store)


def test_a_lost_race_with_other_effects_says_so_and_writes_nothing(store: Store) -> None:
    others = racing(store, node("a2", "10.0.1.2/24"))
    with pytest.raises(Conflict, match="nothing was written"):
        apply(others, [wanted("main", SHUT)], YES)
    assert not is_shut(store)


def test_whoever_agreed_is_asked_again_when_other_things_would_happen(store: Store) -> None:
    others = racing(store, node("a2", "10.0.1.2/24"))
    asked: list[str] = []

    def answer(question: str) -> bool:
        asked.append(question)
        return True

    apply(others, [wanted("main", SHUT)], Consent(ask=answer))
    assert len(asked) == 2
    assert is_shut(store)


def test_a_single_change_that_was_agreed_to_is_asked_again_for_other_effects(store: Store) -> None:
    asked: list[str] = []

    def answer(question: str) -> bool:
        asked.append(question)
        return True

    others = racing(store, node("a2", "10.0.1.2/24"), node("a2", "10.0.1.9/24"))
    writer = Writer(others, agree=Agreement(others, Consent(ask=answer)))
    assert writer.apply(wanted("main", SHUT)) == "IPPool(main) changed"
    assert asked == ["Write this?", "Write this?"], "an address of a2 alters no effect"
    assert is_shut(store)


def test_a_single_change_that_nobody_agrees_to_is_not_written(store: Store) -> None:
    writer = Writer(store, agree=Agreement(store, Consent(ask=lambda _: False)))
    with pytest.raises(NotAgreed):
        writer.apply(wanted("main", SHUT))
    assert not is_shut(store)


def test_a_loss_that_appears_meanwhile_stops_a_script(store: Store) -> None:
    """The other pool is open when the script plans, and shut before it writes."""
    spare = RESOURCES + "ippools/spare"
    opened = stored("IPPool", "ippools/spare", {"cidr": "10.245.0.0/16"})
    store.transact(Transaction((), (opened,)))
    with pytest.raises(NotAgreed, match="--yes"):
        apply(racing(store, Delete(spare)), [wanted("main", SHUT)], Consent())
    assert not is_shut(store)


def test_a_node_that_vanishes_meanwhile_is_noticed(store: Store) -> None:
    store.transact(Transaction((), (node("a2", "10.0.1.2/24"),)))
    others = racing(store, Delete(f"{RESOURCES}nodes/a2"))
    with pytest.raises(Conflict, match="nothing was written"):
        apply(others, [wanted("main", SHUT)], YES)
    assert not is_shut(store)


def test_a_race_lost_half_way_says_what_is_written(store: Store) -> None:
    many = [wanted(f"p{n:03}", {"cidr": f"10.{n}.0.0/16"}) for n in range(MANY)]
    harmless = Put("/felix-py/v1/nothing", b"{}")
    with pytest.raises(Conflict, match="50 of 120 objects are written"):
        apply(racing(store, harmless, node("a3", "10.0.1.3/24")), many, YES)
    assert store.get(f"{RESOURCES}ippools/p049") is not None
    assert store.get(f"{RESOURCES}ippools/p050") is None


def test_many_objects_are_written_in_several_steps(store: Store) -> None:
    many = [wanted(f"p{n:03}", {"cidr": f"10.{n}.0.0/16"}) for n in range(MANY)]
    assert len(apply(store, many, Consent())) == MANY
    assert store.get(f"{RESOURCES}ippools/p119") is not None
