"""A store that went back, as the nodes' cni servers live through it: closed, asked about, opened or not."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from ipaddress import ip_address

import pytest

from cni.recovery import REGISTER_SECONDS, Here, Recovery
from cni.recovery_leader import BEAT_SECONDS, PERSON_SECONDS, SETTLE_SECONDS, TAKEOVER_SECONDS
from felix_py.datastore import gate
from felix_py.datastore.changes import StoreState
from felix_py.datastore.codec import encode
from felix_py.datastore.errors import StoreRefused
from felix_py.datastore.identity import ACCEPTED, CLUSTER, Cause
from felix_py.datastore.keys import (
    RECOVERY,
    RECOVERY_QUESTION,
    ResourceKey,
    SessionKey,
    kind_prefix,
    recovery_answer,
)
from felix_py.datastore.memory_store import MemoryStore
from felix_py.datastore.model import HandleId, Kind, NodeName
from felix_py.datastore.model_own import Session
from felix_py.datastore.store import Store, Transaction
from felix_py.runtime.clock import FakeClock
from ipam import recovering
from ipam.recovery_papers import Claim, Question, decode, decode_question, encode_question
from tests.unit.ipam.cluster import Cluster
from tests.unit.ipam.test_audit import endpoint, made

__all__ = ["made"]

A, B, C = NodeName("a"), NodeName("b"), NodeName("c")


def claim(name: str, address: str) -> Claim:
    return Claim(
        HandleId(f"net.c-{name}"),
        endpoint(name).key.path,
        f"c-{name}",
        (ip_address(address),),
    )


ONE, TWO = claim("one", "10.0.0.0"), claim("two", "10.0.0.1")


@dataclass
class Server:
    """A node's cni server as far as its recovery goes."""

    store: Store
    node: NodeName
    clock: FakeClock
    living: list[Claim] = field(default_factory=list)
    known: frozenset[NodeName] | None = frozenset({A, B})
    adding: set[object] = field(default_factory=set)
    registered: bool = False
    manual: bool = False
    disproved: bool | None = True
    state: StoreState = field(default=StoreState(True, True, "went back", 9, cause=Cause.WENT_BACK))

    def __post_init__(self) -> None:
        here = Here(
            self.node,
            f"machine-{self.node}",
            lambda: self.living,
            lambda: frozenset(self.adding),
            lambda: self.known,
            lambda identity, _: self.disproved and not identity.nonce,
            lambda: self.registered,
        )
        self.recovery = Recovery(
            self.store, here, lambda: self.state, self.clock, manual=self.manual
        )

    @property
    def said(self) -> str:
        return " ".join(self.recovery.warnings())

    def trusts(self) -> None:
        self.state = StoreState(True, True, None, 99)


class Story:
    """Two nodes and the store of ipam's tests: pods one and two of node a."""

    def __init__(self, made: Cluster) -> None:
        self.store, self.clock = made.store, FakeClock()
        for node in (A, B):
            document = {"kind": "Node", "metadata": {"name": node}, "spec": {}}
            self.put(ResourceKey(Kind.NODE, node).path, document)
            session = encode(Session(f"machine-{node}", "n"))
            self.store.put(SessionKey(node).path, session)
        self.servers = [self.server(A, ONE, TWO), self.server(B)]

    def server(self, node: NodeName, *living: Claim, manual: bool = False) -> Server:
        return Server(self.store, node, self.clock, list(living), manual=manual)

    def put(self, path: str, document: object) -> None:
        self.store.put(path, json.dumps(document).encode())

    def pass_time(self, seconds: float, *servers: Server) -> None:
        for _ in range(int(seconds / 2) + 1):
            for server in servers or self.servers:
                server.recovery.step()
            self.clock.seconds += 2.0

    @property
    def gate(self) -> gate.Gate:
        found, _ = gate.look(self.store)
        assert found is not None
        return found

    @property
    def question(self) -> Question | None:
        stored = self.store.get(RECOVERY_QUESTION)
        return None if stored is None else decode_question(stored.value)

    @property
    def accepted(self) -> bool:
        return self.store.get(ACCEPTED) is not None

    @property
    def endpoints(self) -> set[str]:
        listing = self.store.list(kind_prefix(Kind.WORKLOAD_ENDPOINT))
        return {item.key for item in listing.items}


@pytest.fixture
def story(made: Cluster) -> Story:
    told = Story(made)
    assert told.gate.is_open
    return told


def waits(server: Server) -> bool:
    """Whether new addresses wait there for others to register."""
    return server.recovery.others_register


ALL_THE_TIME = SETTLE_SECONDS + 6


def test_the_first_to_notice_closes_the_gate_and_marks_it_as_ours(story: Story) -> None:
    story.servers[1].recovery.step()
    assert not story.gate.is_open
    assert story.gate.ours
    revision = story.store.revision
    story.servers[0].recovery.step()
    assert story.gate.stored.mod_revision <= revision, "it is closed once"


def test_where_nothing_conflicts_the_store_is_accepted_and_opened(story: Story) -> None:
    story.servers[0].living = [ONE]
    story.pass_time(ALL_THE_TIME)
    assert story.accepted
    assert story.gate.is_open
    assert story.endpoints == {endpoint("one").key.path}, "the other one lives no more"
    assert story.question is None


def test_nothing_is_opened_before_who_restores_had_time(story: Story) -> None:
    story.pass_time(SETTLE_SECONDS - 4)
    assert story.question is not None
    assert not story.accepted
    assert not story.gate.is_open


def test_after_the_opening_each_node_takes_its_answer_away_when_it_has_registered(
    story: Story,
) -> None:
    story.pass_time(ALL_THE_TIME)
    one, other = story.servers
    for server in story.servers:
        server.trusts()
    one.registered = True
    story.pass_time(2)
    assert [i.key for i in story.store.list(RECOVERY).items] == [recovery_answer(B)]
    assert waits(one)
    other.registered = True
    story.pass_time(4)
    assert not story.store.list(RECOVERY).items
    assert not waits(one)
    assert not waits(other)


def test_who_does_not_register_is_waited_for_only_so_long(story: Story) -> None:
    story.pass_time(ALL_THE_TIME)
    one = story.servers[0]
    one.trusts()
    one.registered = True
    story.pass_time(REGISTER_SECONDS - 4, one)
    assert waits(one)
    story.pass_time(6, one)
    assert not waits(one)
    assert not story.store.list(RECOVERY).items


def test_a_server_that_was_started_again_takes_away_what_it_answered_before(story: Story) -> None:
    story.pass_time(ALL_THE_TIME)
    fresh = story.server(A, ONE, TWO)
    assert fresh.recovery.others_register
    fresh.trusts()
    fresh.registered = True
    story.pass_time(2, fresh)
    assert story.store.get(recovery_answer(A)) is None


def test_a_node_that_does_not_answer_holds_all_up_and_is_named_everywhere(story: Story) -> None:
    one, other = story.servers
    other.adding = {"hangs"}
    story.pass_time(ALL_THE_TIME)
    assert not story.accepted
    assert not story.gate.is_open
    for server in (one, other):
        assert "waits for b, which did not answer" in server.said
        assert "felixctl ipam recover --dead b" in server.said


def test_a_node_that_only_memory_knows_is_waited_for(story: Story) -> None:
    story.servers[1].known = frozenset({A, B, C})
    story.servers[0].known = frozenset({A, B})
    story.pass_time(ALL_THE_TIME)
    assert "waits for c" in story.servers[0].said
    assert not story.accepted
    story.pass_time(ALL_THE_TIME, *story.servers, story.server(C))
    assert story.accepted


def test_without_any_memory_of_the_nodes_a_person_decides(story: Story) -> None:
    for server in story.servers:
        server.known = None
    story.pass_time(ALL_THE_TIME)
    assert "no node remembers" in story.servers[0].said
    assert not story.accepted
    story.servers[1].known = frozenset({A, B})
    story.pass_time(4)
    assert story.accepted


def test_an_address_that_two_live_with_holds_all_up_until_one_is_gone(story: Story) -> None:
    one, other = story.servers
    other.living = [claim("four", "10.0.0.1")]
    story.pass_time(ALL_THE_TIME)
    assert "10.0.0.1 is used by a-k8s-two-eth0 on a and by a-k8s-four-eth0 on b" in one.said
    assert not story.accepted
    assert len(story.endpoints) == 2, "nothing is released either"
    other.living = []
    story.pass_time(4)
    assert story.accepted


def test_a_pod_whose_pool_the_store_lacks_holds_all_up(story: Story) -> None:
    story.servers[1].living = [claim("four", "192.0.2.7")]
    story.pass_time(ALL_THE_TIME)
    assert "lies in no pool of this store" in story.servers[0].said
    assert not story.accepted


def test_one_node_that_is_set_to_manual_leaves_it_to_a_person(story: Story) -> None:
    story.servers[1] = story.server(B, manual=True)
    story.pass_time(ALL_THE_TIME)
    assert not story.accepted
    assert not story.gate.is_open
    assert "cni.recovery is manual on b" in story.servers[0].said


def test_where_all_are_manual_the_gate_is_closed_and_nobody_asks(story: Story) -> None:
    story.servers = [story.server(A, ONE, TWO, manual=True), story.server(B, manual=True)]
    story.pass_time(ALL_THE_TIME)
    assert story.gate.ours
    assert story.question is None
    assert "cni.recovery is manual" in story.servers[0].said


def test_a_gate_that_an_operator_closed_is_not_opened(story: Story) -> None:
    spec = {"clusterGUID": "g", "datastoreReady": False}
    story.put(CLUSTER.path, {"kind": "ClusterInformation", "spec": spec})
    story.pass_time(ALL_THE_TIME)
    assert not story.gate.is_open
    assert story.question is None
    assert "by an operator" in story.servers[0].said


def test_a_gate_that_was_written_after_us_is_the_writers(story: Story) -> None:
    story.pass_time(2)
    stored = story.store.get(CLUSTER.path)
    assert stored is not None
    story.store.put(CLUSTER.path, stored.value)
    assert not story.gate.ours
    story.pass_time(ALL_THE_TIME)
    assert not story.accepted
    assert not story.gate.is_open


def test_a_gate_that_a_person_opened_is_not_closed_again(story: Story) -> None:
    story.pass_time(2)
    spec = {"clusterGUID": "g", "datastoreReady": True}
    story.put(CLUSTER.path, {"kind": "ClusterInformation", "spec": spec})
    story.pass_time(ALL_THE_TIME)
    assert story.gate.is_open
    assert not story.accepted
    assert "somebody opened" in story.servers[0].said


def test_a_store_that_the_next_look_will_trust_again_is_not_closed(story: Story) -> None:
    """Its data returned, and the syncer has not said so yet."""
    for server in story.servers:
        server.disproved = False
    revision = story.store.revision
    story.pass_time(4)
    assert story.store.revision == revision


def test_who_cannot_tell_closes_it_unless_set_to_manual(story: Story) -> None:
    unsure = StoreState(True, True, "went back once", 9, cause=Cause.UNSURE)
    manual = story.server(A, ONE, TWO, manual=True)
    for server in (*story.servers, manual):
        server.state, server.disproved = unsure, None
    story.pass_time(4, manual)
    assert story.gate.is_open
    story.pass_time(4)
    assert story.gate.ours


def test_a_foreign_store_is_neither_closed_nor_answered_unless_a_person_asks(story: Story) -> None:
    """A daemon that was pointed at another cluster's etcd."""
    (one, _) = story.servers
    one.state = StoreState(True, True, "another cluster", 9, cause=Cause.FOREIGN)
    revision = story.store.revision
    story.pass_time(ALL_THE_TIME, one)
    assert story.store.revision == revision
    story.store.put(RECOVERY_QUESTION, encode_question(Question("n", "b")))
    story.pass_time(2, one)
    assert story.store.get(recovery_answer(A)) is None
    story.store.put(RECOVERY_QUESTION, encode_question(Question("m", "felixctl")))
    story.pass_time(2, one)
    assert story.store.get(recovery_answer(A)) is not None


def test_a_store_in_which_another_machine_has_our_name_is_left_alone(story: Story) -> None:
    """A copy of our etcd that serves other machines: its cluster's GUID is ours."""
    story.store.put(SessionKey(A).path, encode(Session("else", "n")))
    revision = story.store.revision
    story.pass_time(ALL_THE_TIME, story.servers[0])
    assert story.store.revision == revision
    assert "is of machine else" in story.servers[0].said


def test_of_two_copies_that_serve_a_node_each_neither_is_opened(story: Story) -> None:
    """Each node finds its own copy, both of this cluster."""
    other = MemoryStore()
    other.restore(story.store.snapshot())
    story.servers = [story.server(A, ONE, TWO), Server(other, B, story.clock)]
    story.pass_time(60)
    for store in (story.store, other):
        found, _ = gate.look(store)
        assert found is not None
        assert found.ours
        assert store.get(ACCEPTED) is None
    assert "waits for b" in story.servers[0].said
    assert "waits for a" in story.servers[1].said


def test_a_store_without_cluster_is_not_written_to(story: Story) -> None:
    story.store.delete(CLUSTER.path)
    revision = story.store.revision
    story.pass_time(ALL_THE_TIME)
    assert story.store.revision == revision
    spec = {"clusterGUID": "g", "datastoreReady": True}
    story.put(CLUSTER.path, {"kind": "ClusterInformation", "spec": spec})
    story.pass_time(ALL_THE_TIME)
    assert story.accepted


def test_no_answer_while_an_add_is_under_way_that_began_before_the_question(story: Story) -> None:
    one = story.servers[0]
    one.adding = {"early"}
    story.pass_time(ALL_THE_TIME)
    assert story.store.get(recovery_answer(A)) is None
    assert not story.accepted
    one.adding = {"late"}
    story.pass_time(4)
    assert story.store.get(recovery_answer(A)) is not None
    assert story.accepted


def test_who_leads_and_dies_is_followed_by_another_with_a_question_of_its_own(story: Story) -> None:
    one, other = story.servers
    story.pass_time(4, one)
    first = story.question
    assert first is not None
    assert first.by == "a"
    story.pass_time(TAKEOVER_SECONDS - 4, other)
    assert story.question == first
    story.pass_time(6, other)
    second = story.question
    assert second is not None
    assert (second.by, second.nonce != first.nonce) == ("b", True)
    story.pass_time(ALL_THE_TIME, one, other)
    assert story.accepted


def test_a_question_in_the_snapshot_is_asked_anew_with_what_lives_now(story: Story) -> None:
    """The snapshot was taken while another recovery stood just before its end."""
    one = story.servers[0]
    story.pass_time(SETTLE_SECONDS - 4)
    halfway = story.store.snapshot()
    story.pass_time(8)
    assert story.store.get(ACCEPTED) is not None
    for server in story.servers:
        server.trusts()
    story.pass_time(2)
    one.living = [ONE]
    story.store.restore(halfway)
    for server in story.servers:
        server.state = StoreState(True, True, "went back", 9, cause=Cause.WENT_BACK)
    story.pass_time(TAKEOVER_SECONDS + ALL_THE_TIME)
    assert story.accepted
    assert story.endpoints == {endpoint("one").key.path}


def test_a_leader_that_was_started_again_asks_anew_at_once(story: Story) -> None:
    story.pass_time(SETTLE_SECONDS - 4, story.servers[0])
    before = story.question
    story.servers[0] = story.server(A, ONE, TWO)
    story.pass_time(2)
    after = story.question
    assert before is not None
    assert after is not None
    assert (after.by, after.nonce != before.nonce) == ("a", True)
    story.pass_time(ALL_THE_TIME)
    assert story.accepted


def test_a_leader_that_was_overtaken_does_not_open(story: Story) -> None:
    story.pass_time(SETTLE_SECONDS - 4)
    story.store.put(RECOVERY_QUESTION, encode_question(Question("n", "felixctl")))
    story.pass_time(60)
    assert not story.accepted
    stored = story.store.get(recovery_answer(A))
    assert stored is not None
    assert decode(stored.value, "n") is not None, "but all have answered the person"


def test_who_leads_shows_that_it_lives_during_long_work_and_stops_when_another_leads(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    beats: list[int] = []

    def release(*_: object) -> tuple[int, int]:
        beat = _[3]
        assert callable(beat)
        for _number in range(3):
            story.clock.seconds += BEAT_SECONDS
            beat()
            stored = story.store.get(RECOVERY_QUESTION)
            assert stored is not None
            beats.append(stored.mod_revision)
        story.store.put(RECOVERY_QUESTION, encode_question(Question("n", "felixctl")))
        story.clock.seconds += BEAT_SECONDS
        beat()
        raise AssertionError("it went on")

    monkeypatch.setattr(recovering, "release", release)
    story.pass_time(ALL_THE_TIME)
    assert len(set(beats)) == 3
    assert not story.accepted


def test_a_person_who_went_away_is_followed_in_the_end(story: Story) -> None:
    story.pass_time(2)
    story.store.put(RECOVERY_QUESTION, encode_question(Question("n", "felixctl")))
    story.pass_time(PERSON_SECONDS + ALL_THE_TIME)
    assert story.accepted


def test_a_gate_that_etcd_does_not_let_us_close_is_said(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Transaction) -> None:
        raise StoreRefused("permission denied")

    monkeypatch.setattr(story.store, "transact", refuse)
    one = story.servers[0]
    with pytest.raises(StoreRefused):
        one.recovery.step()
    assert "cannot be closed by this node: permission denied" in one.said


def test_the_data_that_returns_ends_it(story: Story) -> None:
    before = story.store.snapshot()
    story.pass_time(4)
    story.store.restore(before)
    for server in story.servers:
        server.trusts()
        server.registered = True
    story.pass_time(4)
    assert story.gate.is_open
    assert not story.accepted
    assert story.servers[0].said == ""
    assert not story.servers[0].recovery.others_register
