from __future__ import annotations

import threading
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import msgspec
import pytest

from cni.attachments import record_of
from cni.naming import names_of
from cni.records import Record, Records
from cni.request import parse
from felix_py.datastore.model import HandleId, NodeName
from tests.unit.cni.requests import K8S_ARGS, raw

ADDRESS = ip_address("10.244.0.1")


def _record(container: str = "a") -> Record:
    request = parse(replace(raw(args=K8S_ARGS), container_id=container))
    return record_of(request, names_of(request, NodeName("n1")), (ADDRESS,))


def test_a_record_outlives_its_process(tmp_path: Path) -> None:
    Records(str(tmp_path)).write(_record())
    again = Records(str(tmp_path)).of_handle(HandleId("k8s-pod-network.a"))
    assert again == _record()
    assert again is not None
    assert again.ip_addresses == (ADDRESS,)


def test_a_newer_container_of_the_same_link_takes_its_record(tmp_path: Path) -> None:
    records = Records(str(tmp_path))
    records.write(_record("old"))
    records.write(_record("new"))
    assert records.of_handle(HandleId("k8s-pod-network.old")) is None
    records.remove(HandleId("k8s-pod-network.old"))
    assert records.of_link(_record().host_link) == _record("new")


def test_a_removed_record_is_gone_from_memory_and_disk(tmp_path: Path) -> None:
    records = Records(str(tmp_path))
    records.write(_record())
    records.remove(HandleId("k8s-pod-network.a"))
    records.remove(HandleId("k8s-pod-network.a"))
    assert len(records) == len(Records(str(tmp_path))) == 0


def test_damaged_records_disturb_nothing_else(tmp_path: Path) -> None:
    records = Records(str(tmp_path))
    records.write(_record())
    directory = tmp_path / "endpoints"
    (directory / "calix.json").write_bytes(b"{")
    wrong = msgspec.structs.replace(_record("b"), host_link="cali2", addresses=("nonsense",))
    (directory / "cali2.json").write_bytes(msgspec.json.encode(wrong))
    (directory / "cali3.json").write_bytes(msgspec.json.encode(_record("c")))
    assert len(Records(str(tmp_path))) == 1


def test_records_are_for_root_only(tmp_path: Path) -> None:
    Records(str(tmp_path)).write(_record())
    [path] = (tmp_path / "endpoints").iterdir()
    assert path.stat().st_mode & 0o077 == 0


def test_a_removal_that_meets_the_next_containers_record_leaves_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = Records(str(tmp_path))
    records.write(_record("old"))
    unlink = Path.unlink
    writer = threading.Thread(target=records.write, args=(_record("new"),))

    def late(path: Path, *, missing_ok: bool = False) -> None:
        writer.start()
        writer.join(0.2)
        unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", late)
    records.remove(HandleId("k8s-pod-network.old"))
    writer.join()
    assert Records(str(tmp_path)).of_handle(HandleId("k8s-pod-network.new")) == _record("new")
    assert records.of_link(_record().host_link) == _record("new")
