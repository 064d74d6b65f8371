"""Policies, tiers, patches, dry runs and what survives, on a store in memory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from felix_py.ctl import get, init, label, output, patch, write
from felix_py.ctl.errors import CommandError, Conflict, NotThere
from felix_py.ctl.writing import Mode
from tests.unit.ctl.memory_session import RESOURCES, MemorySession

POLICY = """
apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata: {name: allow-web, namespace: shop, finalizers: [a.example/keep]}
spec: {selector: "app == 'web'", egress: [{action: Allow}]}
"""
TIER = "apiVersion: projectcalico.org/v3\nkind: Tier\nmetadata: {name: sec}\nspec: {order: 100}\n"
POOL = "apiVersion: projectcalico.org/v3\nkind: IPPool\nmetadata: {name: a}\nspec: {cidr: 10.0.0.0/16}\n"
PATH = "networkpolicies/shop/allow-web"


@pytest.fixture
def session() -> MemorySession:
    session = MemorySession()
    init.init(session)
    return session


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "a.yaml"


def apply(session: MemorySession, file: Path, text: str, **options: Any) -> list[str]:
    file.write_text(text, "utf-8")
    return list(write.apply(session, [str(file)], "", **options))


def test_a_policy_is_stored_as_calico_does(session: MemorySession, file: Path) -> None:
    apply(session, file, POLICY)
    stored = session.stored(PATH)
    assert stored["metadata"]["labels"] == {"projectcalico.org/tier": "default"}
    annotations = stored["metadata"]["annotations"]
    assert annotations == {"projectcalico.org/metadata": '{"name":"allow-web"}'}
    assert stored["metadata"]["finalizers"] == ["a.example/keep"]
    assert (stored["spec"]["tier"], stored["spec"]["types"]) == ("default", ["Egress"])


def test_a_policy_needs_its_tier_and_a_tier_in_use_stays(
    session: MemorySession, file: Path
) -> None:
    with pytest.raises(CommandError, match=r"Tier\(sec\) is not there; create it first"):
        apply(session, file, POLICY.replace("spec: {", "spec: {tier: sec, "))
    apply(session, file, TIER + "---" + POLICY.replace("spec: {", "spec: {tier: sec, "))
    with pytest.raises(CommandError, match=r"networkpolicies/shop/allow-web is in it"):
        list(write.delete_named(session, "tier", ["sec"], "", skip_missing=False))
    list(write.delete_named(session, "np", ["allow-web"], "shop", skip_missing=False))
    done = write.delete_named(session, "tier", ["sec"], "", skip_missing=False)
    assert list(done) == ["Tier(sec) deleted"]


def test_a_built_in_tier_stays_as_it_is(session: MemorySession, file: Path) -> None:
    with pytest.raises(CommandError, match="built in"):
        list(write.delete_named(session, "tier", ["default"], "", skip_missing=False))
    with pytest.raises(CommandError, match=r"spec\.order of a built-in tier"):
        apply(session, file, TIER.replace("sec", "default"))


def test_a_policy_under_the_key_of_an_older_calico_is_changed_where_it_stands(
    session: MemorySession, file: Path
) -> None:
    apply(session, file, POLICY)
    held = session.stored(PATH)
    held["metadata"]["name"] = "default.allow-web"
    old = PATH.replace("allow-web", "default.allow-web")
    session.put(RESOURCES + old, json.dumps(held).encode())
    list(write.delete_named(session, "np", ["allow-web"], "shop", skip_missing=False))
    changed = POLICY.replace("'web'", "'shop'")
    assert apply(session, file, changed)[0].endswith("changed")
    assert session.stored(old)["spec"]["selector"] == "app == 'shop'"
    assert session.memory.get(RESOURCES + PATH) is None
    label.label(session, "np", "allow-web", ["a=b"], namespace="shop")
    with pytest.raises(CommandError, match="follows from the object"):
        label.label(session, "np", "allow-web", ["projectcalico.org/tier-"], namespace="shop")
    assert session.stored(old)["metadata"]["labels"]["a"] == "b"
    patch.patch(session, "np", "allow-web", "spec: {order: 5}", namespace="shop")
    assert session.stored(old)["spec"]["order"] == 5
    list(write.delete_named(session, "np", ["allow-web"], "shop", skip_missing=False))
    assert session.memory.get(RESOURCES + old) is None


def test_a_policy_that_mirrors_one_of_kubernetes_is_nobodys(
    session: MemorySession, file: Path
) -> None:
    with pytest.raises(CommandError, match="mirrors a NetworkPolicy of Kubernetes"):
        apply(session, file, POLICY.replace("allow-web", "knp.default.x"))


def test_what_a_newer_calico_stored_survives_an_apply_and_goes_with_a_patch(
    session: MemorySession, file: Path
) -> None:
    apply(session, file, POLICY)
    held = session.stored(PATH)
    held["spec"]["future"] = {"a": 1}
    held["later"] = True
    held["metadata"]["annotations"]["tool.example/x"] = "y"
    session.put(RESOURCES + PATH, json.dumps(held).encode())
    apply(session, file, POLICY.replace("'web'", "'shop'"))
    stored = session.stored(PATH)
    assert (stored["spec"]["future"], stored["later"]) == ({"a": 1}, True)
    assert stored["metadata"]["annotations"]["tool.example/x"] == "y"
    assert stored["metadata"]["finalizers"] == ["a.example/keep"]
    given = POLICY.replace("spec: {", "spec: {future: {a: 2}, ")
    assert apply(session, file, given) == ["NetworkPolicy(shop/allow-web) changed"]
    with pytest.raises(CommandError, match=r"spec\.futur: no such field"):
        apply(session, file, given.replace("future", "futur"))
    patch.patch(session, "np", "allow-web", "spec: {future: null}", namespace="shop")
    assert "future" not in session.stored(PATH)["spec"]


def test_a_patch_changes_what_it_names_and_checks_it(session: MemorySession, file: Path) -> None:
    apply(session, file, POOL)
    assert patch.patch(session, "pool", "a", '{"spec": {"natOutgoing": true}}') == (
        "IPPool(a) changed"
    )
    operations = '[{"op": "replace", "path": "/spec/natOutgoing", "value": false}]'
    patch.patch(session, "pool", "a", operations, patch.Form.JSON)
    assert "natOutgoing" not in session.stored("ippools/a")["spec"]
    for text, told in (
        ("spec: {natOutgoing: 'yes'}", "neither true nor false"),
        ("spec: {cidr: 10.9.0.0/16}", "cannot become"),
        ("metadata: {name: b}", r"metadata\.name cannot be patched"),
        ("kind: Node", "kind cannot be patched"),
        ("spec: {natOut: true}", "no such field"),
        ("spec: [", "not YAML"),
    ):
        with pytest.raises(CommandError, match=told):
            patch.patch(session, "pool", "a", text)
    with pytest.raises(Conflict, match="resourceVersion"):
        patch.patch(session, "pool", "a", "metadata: {resourceVersion: '1'}")


def test_a_dry_run_writes_nothing_and_a_diff_shows_the_lines(
    session: MemorySession, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = session.memory.list("/")
    dry = Mode(dry_run=True, diff=True)
    assert apply(session, file, POOL, mode=dry) == ["IPPool(a) would be created"]
    assert session.memory.list("/").items == before.items
    assert "+  cidr: 10.0.0.0/16" in capsys.readouterr().out
    apply(session, file, POOL)
    changed = POOL.replace("/16}", "/16, natOutgoing: true}")
    assert apply(session, file, changed, mode=dry) == ["IPPool(a) would be changed"]
    shown = capsys.readouterr().out.splitlines()
    lines = [line for line in shown if line.startswith(("+ ", "- "))]
    assert lines == ["+  natOutgoing: true"]
    done = write.delete_named(session, "pool", ["a"], "", skip_missing=False, mode=dry)
    assert list(done) == ["IPPool(a) would be deleted"]
    assert label.label(session, "pool", "a", ["x=y"], mode=dry) == "IPPool(a) would be changed"
    assert "labels" not in session.stored("ippools/a")["metadata"]


def test_files_name_what_is_shown(
    session: MemorySession, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    apply(session, file, f"{POOL}---{POLICY}")
    get.get_files(session, [str(file)], output.Form.YAML, export=True)
    first, second = yaml.safe_load_all(capsys.readouterr().out)
    assert (first["items"][0]["spec"]["cidr"], second["items"][0]["metadata"]["name"]) == (
        "10.0.0.0/16",
        "allow-web",
    )
    get.get(session, "profile", [], output.Form.NAME, export=True)
    assert capsys.readouterr().out == ""
    get.get(session, "profile", [], output.Form.NAME)
    assert capsys.readouterr().out == "profiles/projectcalico-default-allow\n"


def test_replace_wants_an_object_and_create_none(session: MemorySession, file: Path) -> None:
    file.write_text(POOL, "utf-8")
    with pytest.raises(NotThere, match="use create"):
        list(write.replace(session, [str(file)], ""))
    list(write.create(session, [str(file)], ""))
    assert list(write.replace(session, [str(file)], "")) == ["IPPool(a) unchanged"]
    again = write.create(session, [str(file)], "", skip_existing=True)
    assert list(again) == ["IPPool(a) is there already"]


def test_a_users_annotation_of_ours_goes_with_a_replace(session: MemorySession, file: Path) -> None:
    peer = (
        "apiVersion: projectcalico.org/v3\nkind: BGPPeer\n"
        "metadata: {name: tor, annotations: {felix-py.io/families: ipv4}}\n"
        "spec: {peerIP: 192.0.2.1, asNumber: 65000}\n"
    )
    apply(session, file, peer)
    plain = peer.replace(", annotations: {felix-py.io/families: ipv4}", "")
    apply(session, file, plain)
    assert session.stored("bgppeers/tor")["metadata"]["annotations"]
    assert list(write.replace(session, [str(file)], "")) == ["BGPPeer(tor) changed"]
    assert "annotations" not in session.stored("bgppeers/tor")["metadata"]


def test_validate_says_it_of_each_document(file: Path) -> None:
    wrong, unread = POOL.replace("10.0.0.0", "10.0.0.1"), POOL.replace("name: a", "name: A")
    file.write_text(f"{POOL}---\n{wrong}---\n{unread}---\n{POLICY}", "utf-8")
    told = list(write.validate([str(file)], ""))
    assert [valid for valid, _ in told] == [True, False, False, True]
    assert told[1][1].startswith("IPPool(a): spec.cidr")
    assert "metadata.name must be" in told[2][1]


def test_an_object_written_by_hand_gets_what_calico_needs_when_it_is_changed(
    session: MemorySession,
) -> None:
    session.put(RESOURCES + "nodes/n", b'{"metadata":{"name":"n"},"spec":{}}')
    label.label(session, "node", "n", ["a=b"])
    stored = session.stored("nodes/n")
    assert (stored["kind"], stored["spec"]) == ("Node", {})
    assert stored["metadata"]["uid"]
    assert stored["metadata"]["creationTimestamp"].endswith("Z")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("kind: Tier\nmetadata: {name: a.b}", "one DNS label"),
        ("kind: NetworkPolicy\nmetadata: {name: a.b.c}", "a DNS label, or two"),
        ("kind: KubeControllersConfiguration\nmetadata: {name: other}", "must be default"),
        ("kind: Profile\nmetadata: {name: projectcalico-default-allow}", "makes up"),
        (
            "kind: NetworkSet\nmetadata: {name: a, labels: {projectcalico.org/namespace: x}}",
            "Calico's own",
        ),
        ("kind: GlobalNetworkSet\nmetadata: {name: a, labels: {a: 'b c'}}", "is not a label"),
        ("kind: FelixConfiguration\nmetadata: {name: other}", "nodeSelector"),
    ],
)
def test_names_and_labels_are_calicos(file: Path, text: str, told: str) -> None:
    file.write_text(f"apiVersion: projectcalico.org/v3\n{text}\n", "utf-8")
    ((valid, line),) = write.validate([str(file)], "")
    assert not valid
    assert told in line
