"""Calico YAML from users: what is read, and what is refused with a sentence."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from felix_py.ctl import yaml_text
from felix_py.ctl.documents import read_all, refuse_strangers
from felix_py.ctl.errors import CommandError
from felix_py.ctl.writer import check

POOL = """
apiVersion: projectcalico.org/v3
kind: IPPool
metadata:
  name: main
spec:
  cidr: 10.244.0.0/16
"""


def write(tmp_path: Path, text: str, name: str = "a.yaml") -> str:
    path = tmp_path / name
    path.write_text(text, "utf-8")
    return str(path)


def test_several_documents_of_a_file_come_in_their_order(tmp_path: Path) -> None:
    found = read_all([write(tmp_path, POOL + "---\n" + POOL.replace("main", "other"))])
    assert [document.title for document in found] == ["IPPool(main)", "IPPool(other)"]


def test_a_folder_is_read_with_all_its_yaml_and_json(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    write(tmp_path, POOL)
    write(tmp_path / "deep", POOL.replace("main", "deep"), "b.yml")
    write(tmp_path, "not yaml: [", "README.md")
    assert len(read_all([str(tmp_path)])) == 2


def test_a_dash_is_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(POOL))
    assert read_all(["-"])[0].key.name == "main"


def test_what_get_shows_can_be_applied_again(tmp_path: Path) -> None:
    text = (
        '{"kind":"IPPoolList","apiVersion":"projectcalico.org/v3","items":['
        '{"metadata":{"name":"main","resourceVersion":"5","uid":"u"},"spec":{"cidr":"10.0.0.0/8"}}]}'
    )
    (document,) = read_all([write(tmp_path, text, "a.json")])
    assert (document.key.name, document.resource_version) == ("main", "5")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("kind: IPPool", "kind: Pod"), "'Pod' is not a kind felixctl knows"),
        (("kind: IPPool", "kind: ClusterInformation"), "read only"),
        (("kind: IPPool\n", ""), "without kind"),
        (("projectcalico.org/v3", "v1"), "write projectcalico.org/v3"),
        (("  name: main", "  name: Main"), "metadata.name must be lower case"),
        (("  name: main", "  labels: {}"), "metadata.name is missing"),
        (("  name: main", "  name: main\n  namespace: x"), "IPPool has none"),
        (("  name: main", "  name: main\n  labels: {a: 1}"), "put it in quotes"),
        (("  name: main", "  name: main\n  creationTimestamp: today"), "is not a time"),
        (("  name: main", "  name: main\n  finalizers: a"), "metadata.finalizers: must be a list"),
        (("  name: main", "  name: main\n  labels: {a: 'b c'}"), "is not a label"),
        (("spec:", "status: [x]\nspec:"), "status: must be a mapping"),
        (("spec:\n  cidr: 10.244.0.0/16", "spec: []"), "spec must be a mapping"),
        (("kind:", "\tkind:"), "not YAML"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, change: tuple[str, str], expected: str) -> None:
    with pytest.raises(CommandError) as error:
        read_all([write(tmp_path, POOL.replace(*change, 1))])
    assert expected in str(error.value)


def test_a_field_that_no_table_knows_is_named_with_those_that_look_alike(tmp_path: Path) -> None:
    (document,) = read_all([write(tmp_path, POOL.replace("  cidr", "  cidrs"))])
    with pytest.raises(CommandError, match=r"spec\.cidrs: no such field; known are cidr"):
        check(document)
    refuse_strangers(document, {"spec": {"cidrs": "stored by somebody who knows it"}})
    (document,) = read_all([write(tmp_path, POOL.replace("spec:", "spek:"))])
    with pytest.raises(CommandError, match=r"spek: no such field; known are spec"):
        check(document)


def test_nothing_to_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="no resources"):
        read_all([write(tmp_path, "---\n")])
    with pytest.raises(CommandError, match="cannot be read"):
        read_all([str(tmp_path / "absent.yaml")])


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("64512:10", "64512:10"),
        ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z"),
        ("on", "on"),
        ("010", "010"),
        ("true", True),
        ("64512", 64512),
        ("~", None),
        ('"5"', "5"),
        ("1.5", 1.5),
    ],
)
def test_scalars_are_those_of_kubernetes_yaml_not_of_yaml_1_1(text: str, value: object) -> None:
    (document,) = yaml_text.parse(f"a: {text}", "x")
    assert document == {"a": value}


def test_text_that_looks_like_something_else_is_quoted_on_the_way_out() -> None:
    for value in ("64512:10", "5", "true", "2026-01-01", "on"):
        (document,) = yaml_text.parse(yaml_text.render({"a": value}), "x")
        assert document == {"a": value}


def test_tiers_come_before_the_policies_that_need_them(tmp_path: Path) -> None:
    head = "apiVersion: projectcalico.org/v3\n"
    write(tmp_path, f"{head}kind: GlobalNetworkPolicy\nmetadata: {{name: p}}\n", "a.yaml")
    write(tmp_path, f"{head}kind: Tier\nmetadata: {{name: t}}\n", "b.yaml")
    found = read_all([str(tmp_path)])
    assert [document.title for document in found] == ["Tier(t)", "GlobalNetworkPolicy(p)"]
