"""create, apply, delete, label on a store: compared, swapped, and nothing written when refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from felix_py.ctl import datastore, init, label, write
from felix_py.ctl.errors import CommandError, Conflict, NotThere
from tests.unit.ctl.memory_session import MemorySession

POOL = (
    "apiVersion: projectcalico.org/v3\nkind: IPPool\nmetadata: {name: main%s}\n"
    "spec: {cidr: 10.244.0.0/16%s}\n"
)
PATH = "ippools/main"


@pytest.fixture
def session() -> MemorySession:
    return MemorySession()


class Files:
    def __init__(self, directory: Path) -> None:
        self._path = directory / "file.yaml"

    def __call__(self, metadata: str = "", spec: str = "", text: str = POOL) -> list[str]:
        self._path.write_text(text % (metadata, spec) if "%s" in text else text, "utf-8")
        return [str(self._path)]


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def apply(session: MemorySession, files: list[str]) -> list[str]:
    return list(write.apply(session, files, ""))


def test_create_writes_uid_time_and_defaults(session: MemorySession, files: Files) -> None:
    assert list(write.create(session, files(), "")) == ["IPPool(main) created"]
    stored = session.stored(PATH)
    assert stored["metadata"]["uid"]
    assert stored["metadata"]["creationTimestamp"].endswith("Z")
    assert stored["spec"]["blockSize"] == 26
    with pytest.raises(Conflict, match="already there"):
        list(write.create(session, files(), ""))


def test_apply_twice_changes_nothing_and_keeps_the_identity(
    session: MemorySession, files: Files
) -> None:
    assert apply(session, files()) == ["IPPool(main) created"]
    before = session.stored(PATH)
    assert apply(session, files()) == ["IPPool(main) unchanged"]
    assert apply(session, files(spec=", natOutgoing: true")) == ["IPPool(main) changed"]
    after = session.stored(PATH)
    assert after["metadata"] == before["metadata"]
    assert after["spec"]["natOutgoing"] is True
    assert apply(session, files()) == ["IPPool(main) changed"]
    assert "natOutgoing" not in session.stored(PATH)["spec"]


def test_apply_with_an_old_resource_version_is_a_conflict(
    session: MemorySession, files: Files
) -> None:
    apply(session, files())
    with pytest.raises(Conflict, match="resourceVersion is 1"):
        apply(session, files(', resourceVersion: "1"', ", disabled: true"))
    assert "disabled" not in session.stored(PATH)["spec"]


def test_labels_are_the_files_but_annotations_stay_and_a_daemons_through_a_replace(
    session: MemorySession, files: Files
) -> None:
    session.put(
        "/calico/resources/v3/projectcalico.org/nodes/n1",
        b'{"kind":"Node","apiVersion":"projectcalico.org/v3","metadata":{"name":"n1","uid":"u",'
        b'"creationTimestamp":"2026-01-01T00:00:00Z","labels":{"a":"b"},"ownerReferences":[{"x":1}],'
        b'"annotations":{"felix-py.io/address-detection":"{}","other":"x"}},"spec":{"bgp":'
        b'{"ipv4Address":"10.0.0.1/24"}},"status":{"podCIDRs":["10.1.0.0/24"]}}',
    )
    text = (
        "apiVersion: projectcalico.org/v3\nkind: Node\nmetadata: {name: n1, labels: {rack: a}}\n"
        "spec: {bgp: {ipv4Address: 10.0.0.1/24, asNumber: 65001}}\n"
    )
    apply(session, files(text=text))
    stored = session.stored("nodes/n1")
    assert stored["metadata"]["labels"] == {"rack": "a"}
    assert stored["metadata"]["annotations"] == {
        "felix-py.io/address-detection": "{}",
        "other": "x",
    }
    assert stored["metadata"]["ownerReferences"] == [{"x": 1}]
    assert stored["metadata"]["uid"] == "u"
    assert stored["status"] == {"podCIDRs": ["10.1.0.0/24"]}
    list(write.replace(session, files(text=text), ""))
    kept = session.stored("nodes/n1")["metadata"]["annotations"]
    assert kept == {"felix-py.io/address-detection": "{}"}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (", blockSize: 33", "spec.blockSize"),
        (", nodeSelector: 'has('", "spec.nodeSelector"),
        (", ipipMode: Sometimes", "spec.ipipMode"),
    ],
)
def test_what_our_daemons_would_pass_over_is_not_written(
    session: MemorySession, files: Files, spec: str, expected: str
) -> None:
    with pytest.raises(CommandError) as error:
        apply(session, files(spec=spec))
    assert expected in str(error.value)
    assert session.memory.list("/").items == ()


def test_limits_that_felix_would_pass_over_are_not_written(
    session: MemorySession, files: Files
) -> None:
    text = (
        "apiVersion: projectcalico.org/v3\nkind: WorkloadEndpoint\nmetadata: {namespace: default}\n"
        "spec: {orchestrator: k8s, node: a, pod: web, endpoint: eth0, interfaceName: cali1,\n"
        "  qosControls: {ingressBandwidth: 10}}\n"
    )
    with pytest.raises(CommandError, match=r"spec\.qosControls\.ingressBandwidth"):
        apply(session, files(text=text))
    apply(session, files(text=text.replace("10}", "10000}")))
    assert session.memory.list("/").items


def test_one_bad_document_keeps_the_good_ones_from_being_written(
    session: MemorySession, files: Files
) -> None:
    good = POOL % ("", "")
    bad = good.replace("main", "other").replace("10.244.0.0/16", "10.245.0.1/16")
    with pytest.raises(CommandError, match=r"IPPool\(other\): spec.cidr"):
        apply(session, files(text=good + "---\n" + bad))
    assert session.memory.list("/").items == ()


def test_pools_that_overlap_or_change_their_range_are_refused(
    session: MemorySession, files: Files
) -> None:
    apply(session, files())
    other = (POOL % ("", "")).replace("main", "other").replace("/16", "/24")
    with pytest.raises(CommandError, match="overlaps"):
        apply(session, files(text=other))
    with pytest.raises(CommandError, match="cannot become"):
        apply(session, files(spec=", blockSize: 27"))


def test_delete_by_name_and_by_file(session: MemorySession, files: Files) -> None:
    apply(session, files())
    done = write.delete_named(session, "ippool", ["main"], "", skip_missing=False)
    assert list(done) == ["IPPool(main) deleted"]
    with pytest.raises(NotThere, match=r"IPPool\(main\): not there"):
        list(write.delete_files(session, files(), "", skip_missing=False))
    assert list(write.delete_files(session, files(), "", skip_missing=True)) == [
        "IPPool(main) was not there"
    ]


def test_labels_are_set_removed_and_not_overwritten_unasked(
    session: MemorySession, files: Files
) -> None:
    apply(session, files(", labels: {rack: a, old: x}"))
    label.label(session, "pool", "main", ["rack=a", "new=1", "old-"])
    assert session.stored(PATH)["metadata"]["labels"] == {"rack": "a", "new": "1"}
    with pytest.raises(CommandError, match="--overwrite"):
        label.label(session, "pool", "main", ["rack=b"])
    label.label(session, "pool", "main", ["rack=b"], overwrite=True)
    assert session.stored(PATH)["metadata"]["labels"]["rack"] == "b"
    for word in ("rack", "a b=c", "=x", "a=ä"):
        with pytest.raises(CommandError):
            label.parse_changes([word])


def test_init_creates_what_calico_does_and_only_once(session: MemorySession) -> None:
    assert len(init.init(session)) == 5
    cluster = session.stored("clusterinformations/default")
    assert len(cluster["spec"]["clusterGUID"]) == 32
    assert cluster["spec"]["datastoreReady"] is True
    assert session.stored("tiers/kube-admin")["spec"] == {"order": 1000, "defaultAction": "Pass"}
    assert session.stored("/calico/ipam/v2/config") == {
        "auto_allocate_blocks": True,
        "kubeVirtVMAddressPersistence": "Enabled",
    }
    assert init.init(session) == ["the datastore was initialised before"]
    assert session.stored("clusterinformations/default") == cluster


def test_accept_names_this_very_cluster_and_revision(session: MemorySession) -> None:
    with pytest.raises(CommandError, match="felixctl init"):
        datastore.accept(session)
    init.init(session)
    datastore.accept(session)
    first = session.stored("/felix-py/v1/accepted")
    guid = session.stored("clusterinformations/default")["spec"]["clusterGUID"]
    assert first["clusterGUID"] == guid
    assert first["revision"] > 0
    datastore.accept(session)
    assert session.stored("/felix-py/v1/accepted")["nonce"] != first["nonce"]
