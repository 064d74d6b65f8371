"""ipam release and configure: what nobody uses is given back, what somebody uses is named and kept."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
import typer

from felix_py.ctl import ipam_configure, ipam_fix, ipam_release
from felix_py.ctl.errors import CommandError, Conflict, NotThere
from tests.unit.ctl.memory_session import RESOURCES, MemorySession

BLOCK = "/calico/ipam/v2/assignment/ipv4/block/10.244.0.0-30"
HANDLE = "/calico/ipam/v2/handle/net.abc"
ENDPOINT = f"{RESOURCES}workloadendpoints/default/worker--1-k8s-web-eth0"
WEB = {"namespace": "default", "node": "worker-1", "pod": "web"}


def block(sequence: int = 7) -> bytes:
    held = {"handle_id": "net.abc", "secondary": WEB}
    return json.dumps(
        {
            "cidr": "10.244.0.0/30",
            "affinity": "host:worker-1",
            "allocations": [0, 0, None, None],
            "unallocated": [2, 3],
            "attributes": [held],
            "sequenceNumber": sequence + 1,
            "sequenceNumberForAllocation": {"0": sequence, "1": sequence},
            "deleted": False,
        }
    ).encode()


def endpoint(address: str) -> bytes:
    spec = {
        "orchestrator": "k8s",
        "node": "worker-1",
        "pod": "web",
        "endpoint": "eth0",
        "containerID": "abc",
        "ipNetworks": [f"{address}/32"],
        "interfaceName": "cali1",
    }
    meta = {"name": "worker--1-k8s-web-eth0", "namespace": "default"}
    return json.dumps({"kind": "WorkloadEndpoint", "metadata": meta, "spec": spec}).encode()


@pytest.fixture
def session() -> MemorySession:
    made = MemorySession()
    pool = {"metadata": {"name": "main"}, "spec": {"cidr": "10.244.0.0/16", "blockSize": 30}}
    made.put(f"{RESOURCES}ippools/main", json.dumps({"kind": "IPPool", **pool}).encode())
    made.put(BLOCK, block())
    made.put(HANDLE, json.dumps({"handleID": "net.abc", "block": {"10.244.0.0/30": 2}}).encode())
    return made


def release(
    session: MemorySession,
    address: str = "",
    handle: str = "",
    *,
    force: bool = False,
    meanwhile: Callable[[], None] = lambda: None,
) -> list[str]:
    def wait(_: float) -> None:
        meanwhile()

    return list(ipam_release.release(session, address, handle, force=force, wait=wait))


def free(session: MemorySession) -> list[int]:
    return sorted(session.stored(BLOCK)["unallocated"])


def test_an_address_that_nobody_shows_is_released_and_its_handle_counted(
    session: MemorySession,
) -> None:
    assert release(session, "10.244.0.1") == ["10.244.0.1 released from handle net.abc"]
    assert free(session) == [1, 2, 3]
    assert session.stored(HANDLE)["block"] == {"10.244.0.0/30": 1}


def test_a_handle_is_released_with_all_that_it_holds(session: MemorySession) -> None:
    assert len(release(session, handle="net.abc")) == 2
    assert free(session) == [0, 1, 2, 3]
    assert session.memory.get(HANDLE) is None


def test_what_an_endpoint_shows_is_kept_unless_forced(session: MemorySession) -> None:
    session.put(ENDPOINT, endpoint("10.244.0.0"))
    with pytest.raises(CommandError, match=r"10\.244\.0\.0 is in use: endpoint worker--1-k8s-web"):
        release(session, "10.244.0.0")
    assert free(session) == [2, 3]
    release(session, "10.244.0.0", force=True)
    assert free(session) == [0, 2, 3]


def test_an_endpoint_that_comes_between_the_two_looks_keeps_its_address(
    session: MemorySession,
) -> None:
    with pytest.raises(CommandError, match="in use"):
        release(
            session, "10.244.0.0", meanwhile=lambda: session.put(ENDPOINT, endpoint("10.244.0.0"))
        )
    assert free(session) == [2, 3]


def test_a_lease_that_is_another_one_by_then_is_not_released(session: MemorySession) -> None:
    with pytest.raises(Conflict, match="look again"):
        release(session, "10.244.0.0", meanwhile=lambda: session.put(BLOCK, block(sequence=9)))
    assert free(session) == [2, 3]


@pytest.mark.parametrize(
    ("address", "handle", "said"),
    [("10.244.0.2", "", "free already"), ("", "net.xyz", "holds no address")],
)
def test_what_is_not_held_is_said(
    session: MemorySession, address: str, handle: str, said: str
) -> None:
    with pytest.raises(NotThere, match=said):
        release(session, address, handle)


@pytest.mark.parametrize(("address", "handle"), [("", ""), ("10.244.0.0", "net.abc"), ("ten", "")])
def test_a_question_that_makes_no_sense_is_refused(
    session: MemorySession, address: str, handle: str
) -> None:
    with pytest.raises(CommandError):
        release(session, address, handle)


def test_the_configuration_changes_where_it_is_told_to(session: MemorySession) -> None:
    assert "strictaffinity: false" in ipam_configure.configure(session)
    assert "strictaffinity: true" in ipam_configure.configure(session, "true")
    said = ipam_configure.configure(session, max_blocks_per_host=3)
    assert said == "strictaffinity: true, auto-allocate-blocks: true, max-blocks-per-host: 3"
    assert session.stored("/calico/ipam/v2/config")["maxBlocksPerHost"] == 3


def test_a_configuration_that_calico_refuses_is_refused_and_stays(session: MemorySession) -> None:
    ipam_configure.configure(session, "true")
    for wrong in (
        {"strict_affinity": "yes"},
        {"strict_affinity": "false", "max_blocks_per_host": 3},
    ):
        with pytest.raises(CommandError):
            ipam_configure.configure(session, **wrong)
    assert "strictaffinity: true" in ipam_configure.configure(session)


def fixed(session: MemorySession, *, yes: bool = True) -> bool:
    return ipam_fix.fix(session, yes=yes, wait=lambda _: None)


def test_check_fix_releases_the_leaked_and_says_what_is_left(
    session: MemorySession, capsys: pytest.CaptureFixture[str]
) -> None:
    session.put(ENDPOINT, endpoint("10.244.0.1"))
    session.put("/calico/ipam/v2/host/worker-1/ipv4/block/10.244.0.0-30", b"{}")
    session.put(f"{RESOURCES}nodes/worker-1", b'{"metadata":{"name":"worker-1"},"spec":{}}')
    assert fixed(session)
    said = capsys.readouterr().out
    assert "10.244.0.0: released 10.244.0.0 from handle net.abc" in said
    assert free(session) == [0, 2, 3]
    assert fixed(session)
    assert "nothing is wrong" in capsys.readouterr().out
    session.put(f"{RESOURCES}ippools/main", b"no JSON")
    assert not fixed(session)
    assert "left: `felixctl ipam check` says what to do" in capsys.readouterr().out


def test_check_fix_does_nothing_when_the_answer_is_no(
    session: MemorySession, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no(*_: object, **__: object) -> None:
        raise typer.Abort

    monkeypatch.setattr("typer.confirm", no)
    with pytest.raises(typer.Abort):
        fixed(session, yes=False)
    assert free(session) == [2, 3]
