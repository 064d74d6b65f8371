"""File and environment to settings: what wins, and what is refused by name."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from felix_py.runtime.settings import BadSettings, NodeSettings, describe, load, parse_arguments


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    some_seconds: float = 5.0
    endpoints: list[str] = msgspec.field(default_factory=lambda: ["a"])
    enabled: bool = False


class Settings(msgspec.Struct, frozen=True):
    node: NodeSettings = NodeSettings()
    datastore: Part = Part()


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "felix-py.yaml"
    path.write_text(text, "utf-8")
    return path


def test_without_file_and_environment_the_defaults_hold(tmp_path: Path) -> None:
    assert load(Settings, tmp_path / "absent.yaml", {}) == Settings()
    assert load(Settings, write(tmp_path, ""), {}) == Settings()


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, "datastore: {someSeconds: 7, endpoints: [x], enabled: true}\nnode:\n")
    environ = {"FELIX_PY_DATASTORE_SOME_SECONDS": "9", "FELIX_PY_DATASTORE_ENDPOINTS": "y,z"}
    found = load(Settings, path, {**environ, "HOME": "/"}).datastore
    assert (found.some_seconds, found.endpoints, found.enabled) == (9.0, ["y", "z"], True)


def test_another_daemons_section_and_variables_are_passed_over(tmp_path: Path) -> None:
    path = write(tmp_path, "bgp: {whatever: 1}\n")
    assert load(Settings, path, {"FELIX_PY_BGP_WHATEVER": "1"}) == Settings()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("stuff: {}", "unknown section 'stuff'"),
        ("datastore: {someSecond: 1}", "someSecond"),
        ("datastore: {someSeconds: soon}", "datastore.someSeconds"),
        ("datastore: [1]", "mapping of sections"),
        ("- 1", "mapping of sections"),
        ("a: [", "cannot be read as YAML"),
    ],
)
def test_what_is_wrong_in_the_file_is_named(tmp_path: Path, text: str, expected: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(BadSettings) as error:
        load(Settings, path, {})
    assert expected in str(error.value)
    assert str(path) in str(error.value)


def test_an_unknown_variable_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match="FELIX_PY_DATASTORE_SOME_SECOND"):
        load(Settings, tmp_path / "x", {"FELIX_PY_DATASTORE_SOME_SECOND": "1"})


def test_help_lists_every_field_with_its_variable_and_default() -> None:
    text = describe(Settings)
    assert "datastore.someSeconds / FELIX_PY_DATASTORE_SOME_SECONDS: float, 5.0" in text
    assert "node.runDir / FELIX_PY_NODE_RUN_DIR" in text


def test_the_file_is_named_on_the_command_line() -> None:
    assert parse_arguments(Settings, ["--config", "/x.yaml"], "about") == Path("/x.yaml")
    assert parse_arguments(Settings, [], "about") == Path("/etc/felix-py/felix-py.yaml")
