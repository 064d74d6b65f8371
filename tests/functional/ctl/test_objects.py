"""Every kind through felixctl to a real etcd and back, with etcdctl as the witness."""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

from felix_py.ctl.documents import of_mapping
from felix_py.ctl.errors import Conflict
from felix_py.ctl.kinds import BY_KIND
from felix_py.ctl.output import as_shown
from felix_py.ctl.writer import Writer
from felix_py.datastore.codec import rewrite
from felix_py.datastore.etcd_store import EtcdStore
from felix_py.datastore.keys import ResourceKey, parse
from felix_py.datastore.model import Kind
from felix_py.datastore.store import KeyValue
from tests.functional.ctl.test_felixctl import RESOURCES, Felixctl, stored
from tests.support.etcd import EtcdServer
from tests.unit.datastore.calico_writes import recorded_writes

pytestmark = pytest.mark.etcd

STAGED = """
kind: StagedNetworkPolicy
apiVersion: projectcalico.org/v3
metadata: {name: s, namespace: default}
spec: {selector: all()}
---
kind: StagedGlobalNetworkPolicy
apiVersion: projectcalico.org/v3
metadata: {name: s}
spec: {stagedAction: Delete}
---
kind: StagedKubernetesNetworkPolicy
apiVersion: projectcalico.org/v3
metadata: {name: s, namespace: default}
spec: {podSelector: {matchLabels: {app: web}}, policyTypes: [Ingress]}
"""


@pytest.fixture
def felixctl(tmp_path: Path, etcd: EtcdServer) -> Felixctl:
    return Felixctl(tmp_path, etcd)


def recorded() -> list[tuple[ResourceKey, bytes]]:
    """What Calico's library wrote first of each object, the built-in tiers apart."""
    found = {path: raw for _, path, raw in reversed(recorded_writes())}
    return [
        (key, raw)
        for path, raw in reversed(found.items())
        if isinstance(key := parse(path), ResourceKey)
        and BY_KIND[key.kind].writable
        and not (key.kind is Kind.TIER and key.name != "sec")
    ]


def users_files(folder: Path, objects: Sequence[tuple[ResourceKey, bytes]]) -> None:
    """Each object as a user would write it, in one file per kind."""
    folder.mkdir()
    texts: dict[str, list[str]] = {}
    for key, raw in objects:
        shown = as_shown(key, KeyValue(key.path, raw, 1, 1))
        del shown["metadata"]["resourceVersion"]
        texts.setdefault(key.kind.value, []).append(yaml.safe_dump(shown, sort_keys=False))
    for kind, documents in texts.items():
        (folder / f"{kind}.yaml").write_text("---\n".join(documents), "utf-8")


def test_a_folder_with_every_kind_becomes_what_calico_wrote(
    felixctl: Felixctl, etcd: EtcdServer, tmp_path: Path
) -> None:
    felixctl("init")
    objects = recorded()
    users_files(tmp_path / "all", objects)
    felixctl("validate", "-f", str(tmp_path / "all"))
    done = felixctl("create", "-f", str(tmp_path / "all"))
    assert done.count(" created") == len({key for key, _ in objects}) == done.count("\n")
    held = etcd.dump(RESOURCES)
    for key, raw in objects:
        ours, calicos = json.loads(held[key.path]), json.loads(raw)
        assert ours["metadata"] == calicos["metadata"]
        assert ours["spec"].items() >= calicos["spec"].items() or key.kind is Kind.IP_POOL
    assert "unchanged" in felixctl("apply", "-f", str(tmp_path / "all"))
    assert etcd.dump(RESOURCES) == held
    assert felixctl("apply", "-f", "-", stdin=STAGED).count("created") == 3
    for kind in (*sorted({key.kind.value for key, _ in objects}), "sgnp", "sknp", "snp"):
        assert "INVALID" not in felixctl("get", kind, "-A", "-o", "wide")
    shown = felixctl("get", "-f", str(tmp_path / "all"), "-o", "name")
    assert shown.count("\n") == len(objects)
    gone = felixctl("delete", "-f", str(tmp_path / "all"), "--dry-run")
    assert gone.count("would be deleted") == len(objects)
    assert set(held) <= set(etcd.dump(RESOURCES))


def test_an_edit_by_get_and_replace_and_a_patch(felixctl: Felixctl, etcd: EtcdServer) -> None:
    felixctl("init")
    felixctl("create", "-f", "-", stdin=STAGED)
    key = "stagednetworkpolicies/default/s"
    text = felixctl("get", "snp", "s", "-o", "yaml").replace("all()", "has(app)")
    assert "changed" in felixctl("replace", "-f", "-", stdin=text)
    assert stored(etcd, key)["spec"]["selector"] == "has(app)"
    assert "resourceVersion" in felixctl("replace", "-f", "-", stdin=text, status=1)
    shown = felixctl("patch", "snp", "s", "-p", '{"spec":{"order":5}}', "--diff", "--dry-run")
    assert "+  order: 5" in shown
    assert "would be changed" in shown
    assert "order" not in stored(etcd, key)["spec"]
    operations = '[{"op":"add","path":"/spec/order","value":7}]'
    felixctl("patch", "snp", "s", "--type", "json", "-p", operations)
    assert stored(etcd, key)["spec"]["order"] == 7
    felixctl("label", "snp", "s", "a=b")
    felixctl("label", "snp", "s", "a", "--remove")
    assert stored(etcd, key)["metadata"]["labels"] == {"projectcalico.org/tier": "default"}
    exported = yaml.safe_load(felixctl("get", "snp", "s", "-o", "yaml", "--export"))
    assert set(exported["metadata"]) == {"name", "namespace", "labels"}


def test_files_are_checked_and_converted_without_a_datastore(
    felixctl: Felixctl, etcd: EtcdServer
) -> None:
    old = "- {apiVersion: v1, kind: ipPool, metadata: {cidr: 10.1.0.0/16}, spec: {}}\n"
    made = felixctl("convert", "-f", "-", stdin=old)
    assert yaml.safe_load(made)["spec"] == {"cidr": "10.1.0.0/16", "ipipMode": "Never"}
    assert felixctl("validate", "-f", "-", stdin=made) == "IPPool(10-1-0-0-16) is valid\n"
    wrong = felixctl("validate", "-f", "-", stdin=made.replace("/16", "/33"), status=2)
    assert "spec.cidr" in wrong
    assert etcd.dump() == {}


def test_many_who_label_one_object_lose_nothing_that_was_said_to_be_done(
    felixctl: Felixctl, etcd: EtcdServer
) -> None:
    felixctl("init")
    felixctl("create", "-f", "-", stdin=STAGED)
    key = ResourceKey(Kind.STAGED_GLOBAL_NETWORK_POLICY, "s")

    def one(number: int) -> str | None:
        store = EtcdStore.connect(etcd.settings)
        name = f"n{number}"
        try:
            Writer(store).edit(key, "it", lambda held: rewrite(held.value, labels={name: "x"}))
        except Conflict:
            return None
        finally:
            store.close()
        return name

    with ThreadPoolExecutor(8) as pool:
        done = {name for name in pool.map(one, range(24)) if name}
    labels = set(stored(etcd, "stagedglobalnetworkpolicies/s")["metadata"]["labels"])
    assert done
    assert labels == done | {"projectcalico.org/tier"}


def test_a_tier_and_its_first_policy_never_pass_each_other(
    felixctl: Felixctl, etcd: EtcdServer
) -> None:
    felixctl("init")
    document = {
        "kind": "GlobalNetworkPolicy",
        "apiVersion": "projectcalico.org/v3",
        "metadata": {"name": "first"},
        "spec": {"tier": "sec"},
    }
    tier = "kind: Tier\napiVersion: projectcalico.org/v3\nmetadata: {name: sec}\n"
    felixctl("create", "-f", "-", stdin=tier)
    store = EtcdStore.connect(etcd.settings)
    try:
        writer = Writer(store)
        change = writer.foresee(of_mapping(document, "test"))
        felixctl("delete", "tier", "sec")
        foreseen = iter([change])
        with pytest.raises(StopIteration):
            writer.settle("it", lambda: next(foreseen))
    finally:
        store.close()
    assert f"{RESOURCES}globalnetworkpolicies/first" not in etcd.dump(RESOURCES)
