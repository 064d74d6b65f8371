"""Passwords from files: what is read, and what counts as missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from bgp.secrets import MAX_SECRET_BYTES, SecretFiles


@pytest.fixture
def secrets(tmp_path: Path) -> SecretFiles:
    (tmp_path / "bgp").mkdir()
    (tmp_path / "bgp" / "tor").write_text("s3cret\n")
    (tmp_path / "bgp" / "empty").write_text("\n")
    (tmp_path / "bgp" / "binary").write_bytes(b"\xff\xfe")
    (tmp_path / "bgp" / "long").write_text("x" * (MAX_SECRET_BYTES + 1))
    (tmp_path / "bgp" / "folder").mkdir()
    (tmp_path / "outside").write_text("not for you")
    return SecretFiles(str(tmp_path))


def test_a_password_is_read_without_its_newline(secrets: SecretFiles) -> None:
    assert secrets.read([("bgp", "tor")]) == {("bgp", "tor"): "s3cret"}


@pytest.mark.parametrize("key", ["empty", "binary", "long", "folder", "absent"])
def test_what_is_no_password_counts_as_missing(secrets: SecretFiles, key: str) -> None:
    assert secrets.read([("bgp", key), ("bgp", "tor")]) == {("bgp", "tor"): "s3cret"}


@pytest.mark.parametrize(
    ("name", "key"),
    [("..", "outside"), (".", "outside"), ("bgp", "../outside"), ("bgp/..", "outside"), ("", "x")],
)
def test_names_do_not_lead_out_of_the_directory(secrets: SecretFiles, name: str, key: str) -> None:
    assert secrets.read([(name, key)]) == {}
