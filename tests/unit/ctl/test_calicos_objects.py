"""Every object that Calico's own library wrote, given to felixctl as a file: the same text comes out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from felix_py.ctl import get, init, output, policies, rules, write
from felix_py.ctl.change import Change
from felix_py.ctl.documents import of_mapping
from felix_py.ctl.kinds import BY_KIND, KINDS
from felix_py.ctl.stored_text import complaint, new_text
from felix_py.datastore.keys import ResourceKey, parse
from felix_py.datastore.model import Kind
from felix_py.datastore.store import KeyValue
from tests.unit.ctl.memory_session import MemorySession
from tests.unit.datastore.calico_writes import recorded_writes

CRD_DEFAULTS = {
    Kind.BGP_CONFIGURATION: {
        "logSeverityScreen": "Info",
        "serviceLoadBalancerAggregation": "Enabled",
    },
    Kind.FELIX_CONFIGURATION: {"nftablesMode": "Auto"},
    Kind.NETWORK_POLICY: {"tier": "default"},
}
"""The recording was made with the CRD's defaults switched off; felixctl writes them."""


def recorded() -> list[tuple[ResourceKey, bytes]]:
    found = [(parse(path), raw) for _, path, raw in recorded_writes()]
    resources = [(key, raw) for key, raw in found if isinstance(key, ResourceKey)]
    return [(key, raw) for key, raw in resources if BY_KIND[key.kind].writable]


def without_defaults(kind: Kind, raw: bytes) -> bytes:
    loaded = json.loads(raw)
    for name, value in CRD_DEFAULTS.get(kind, {}).items():
        assert loaded["spec"].pop(name) == value
    return json.dumps(loaded).encode()


@pytest.mark.parametrize(("key", "raw"), recorded(), ids=lambda each: getattr(each, "path", ""))
def test_a_file_becomes_the_text_that_calico_wrote(key: ResourceKey, raw: bytes) -> None:
    users = output.as_shown(key, KeyValue(key.path, raw, 1, 1))
    del users["metadata"]["resourceVersion"]
    made = new_text(rules.complete(of_mapping(users, "test")))
    assert without_defaults(key.kind, made) == json.dumps(json.loads(raw)).encode()
    assert complaint(key, raw) == ""


def test_the_recording_has_most_kinds() -> None:
    seen = {key.kind for key, _ in recorded()}
    unseen = {info.kind for info in KINDS if info.writable} - seen
    assert unseen == {
        Kind.STAGED_NETWORK_POLICY,
        Kind.STAGED_GLOBAL_NETWORK_POLICY,
        Kind.STAGED_KUBERNETES_NETWORK_POLICY,
    }


def test_what_is_shown_can_be_applied_again_and_changes_nothing(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    session = MemorySession()
    init.init(session)
    for key, raw in recorded():
        session.put(key.path, raw)
    file = tmp_path / "all.yaml"
    for info in KINDS:
        found = get.listed(session.memory, info) if info.writable else []
        for wanted in ("changed", "unchanged") if found else ():
            output.show(info, found, output.Form.YAML, single=False)
            file.write_text(capsys.readouterr().out.replace("resourceVersion", "selfLink"), "utf-8")
            for line in write.apply(session, [str(file)], ""):
                assert line.endswith((wanted, "unchanged")), line


def old_policy(name: str, tier: str = "", annotated: str = "") -> bytes:
    metadata: dict[str, Any] = {
        "name": name,
        "namespace": "default",
        "uid": "u",
        "creationTimestamp": "2026-01-01T00:00:00Z",
    }
    if annotated:
        text = json.dumps({"name": annotated})
        metadata["annotations"] = {"projectcalico.org/metadata": text}
    spec = {"selector": "all()", "types": ["Ingress"]} | ({"tier": tier} if tier else {})
    document = {"kind": "NetworkPolicy", "apiVersion": "projectcalico.org/v3"}
    return json.dumps({**document, "metadata": metadata, "spec": spec}).encode()


@pytest.mark.parametrize(
    ("name", "tier", "annotated", "shown"),
    [
        ("allow-web", "default", "allow-web", "allow-web"),
        ("default.allow-web", "", "", "allow-web"),
        ("default.allow-web", "default", "allow-web", "allow-web"),
        ("sec.allow-web", "sec", "allow-web", "allow-web"),
        ("sec.allow-web", "sec", "", "sec.allow-web"),
        ("knp.default.x", "default", "", "knp.default.x"),
    ],
)
def test_a_policy_is_shown_by_its_users_name(
    name: str, tier: str, annotated: str, shown: str
) -> None:
    key = ResourceKey(Kind.NETWORK_POLICY, name, "default")
    loaded = policies.shown(key, json.loads(old_policy(name, tier, annotated)))
    assert loaded["metadata"]["name"] == shown
    assert "annotations" not in loaded["metadata"]


def test_a_change_without_a_difference_is_none() -> None:
    key = ResourceKey(Kind.TIER, "a")
    held = KeyValue(key.path, b'{"a":1}', 1, 1)
    assert Change(key, "Tier(a)", held, b'{ "a": 1 }').unchanged
