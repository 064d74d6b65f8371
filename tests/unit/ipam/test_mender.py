"""What the audit found is put right exactly as it was judged, or left when it changed since."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address, ip_network

import pytest

from felix_py.datastore import codec
from felix_py.datastore.model import Handle
from ipam.audit import Audit, audit
from ipam.mender import Mended, put_right
from ipam.office import Office
from tests.unit.ipam.cluster import Cluster, Machine
from tests.unit.ipam.test_audit import AFFINITY, BLOCK, edit, endpoint, look, made, spec

__all__ = ["made"]

HANDLES = "/calico/ipam/v2/handle/"
LONELY = "/calico/ipam/v2/host/b/ipv4/block/10.0.0.8-29"


def mended(made: Cluster, meanwhile: Callable[[], None] = lambda: None) -> list[Mended]:
    found = look(made)
    meanwhile()
    return list(put_right(Office(made.store), found.findings, found.revision))


def leak(made: Cluster) -> None:
    made.store.delete(endpoint("one").key.path)


def orphan(made: Cluster) -> None:
    made.store.put(f"{HANDLES}gone", codec.encode(Handle({ip_network("10.0.0.0/29"): 1})))


def wrong_handle(made: Cluster) -> None:
    made.store.put(f"{HANDLES}net.c-one", codec.encode(Handle({ip_network("10.0.0.8/29"): 1})))


def missing_handle(made: Cluster) -> None:
    made.store.delete(f"{HANDLES}net.c-two")


def pending(made: Cluster) -> None:
    made.store.put(AFFINITY, b'{"state":"pending"}')


def without_block(made: Cluster) -> None:
    made.store.put(LONELY, b'{"state":"confirmed"}')


def without_affinity(made: Cluster) -> None:
    made.store.delete(AFFINITY)


def nobodys(made: Cluster) -> None:
    made.node("b")
    Machine(made.store, "b", start_at=lambda *_: 1).assign("net.b", endpoint=endpoint("three"))
    block = made.blocks()["10.0.0.8/29"]
    assert block.host == "b"
    made.store.delete("/calico/resources/v3/projectcalico.org/nodes/b")
    made.store.delete(LONELY)


@pytest.mark.parametrize(
    "fault",
    [leak, orphan, wrong_handle, missing_handle, pending, without_block, without_affinity],
)
def test_a_fault_is_put_right_and_nothing_else_is_touched(
    made: Cluster, fault: Callable[[Cluster], None]
) -> None:
    fault(made)
    done = mended(made)
    assert done
    assert all(each.done for each in done), done
    assert look(made).findings == ()
    assert mended(made) == []


def test_a_used_block_of_a_node_that_is_gone_is_nobodys_afterwards(made: Cluster) -> None:
    nobodys(made)
    assert any("there is no node b" in each.said for each in mended(made))
    assert made.blocks()["10.0.0.8/29"].affinity is None


def test_an_affinity_in_use_is_confirmed_and_an_empty_one_is_given_up(made: Cluster) -> None:
    pending(made)
    assert [each.said for each in mended(made)] == [f"confirmed {AFFINITY}: its block is in use"]
    Machine(made.store, "a").release("ipip-tunnel-addr-a")
    for name in ("one", "two"):
        made.store.delete(endpoint(name).key.path)
    assert all(each.done for each in mended(made))
    pending(made)
    assert [each.said for each in mended(made)] == [f"gave up {AFFINITY}: its block is empty"]
    assert made.store.get(BLOCK) is None


def test_an_endpoint_that_came_since_keeps_its_address(made: Cluster) -> None:
    leak(made)
    one = endpoint("one").key

    def comes() -> None:
        raw = codec.render_new(
            one, spec("one", ["10.0.0.0/32"]), uid="u", created_at="2026-08-22T10:00:00Z"
        )
        made.store.put(one.path, raw)

    (left,) = mended(made, comes)
    assert (left.done, left.said) == (False, "left: it changed while it was put right")
    assert look(made).findings == ()


def test_an_address_that_is_another_pods_by_now_stays_that_pods(made: Cluster) -> None:
    leak(made)

    def again() -> None:
        machine = Machine(made.store, "a")
        machine.release("net.c-one")
        machine.assign(
            "net.c-three", addresses=(ip_address("10.0.0.0"),), endpoint=endpoint("three")
        )

    (left,) = mended(made, again)
    assert not left.done
    assert look(made).findings == ()


def test_a_key_that_changed_since_is_left(made: Cluster) -> None:
    orphan(made)
    (left,) = mended(made, lambda: orphan(made))
    assert (left.done, left.said) == (False, f"left: {HANDLES}gone was changed meanwhile")
    assert made.store.get(f"{HANDLES}gone") is not None


def test_what_only_a_person_knows_is_not_touched(made: Cluster) -> None:
    edit(made, BLOCK, lambda block: block.update(unallocated=[]))
    before = made.store.get(BLOCK)
    assert mended(made) == []
    assert made.store.get(BLOCK) == before


def test_the_audit_of_what_was_put_right_counts_one_address_less(made: Cluster) -> None:
    before: Audit = look(made)
    leak(made)
    mended(made)
    assert audit(made.store).addresses == before.addresses - 1
