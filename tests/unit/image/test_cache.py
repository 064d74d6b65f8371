"""What the builder keeps between builds."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from image import cache


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return cache.directory()


def make(place: Path) -> None:
    (place / "x").touch()


def fail(place: Path) -> None:
    make(place)
    raise OSError


def test_what_is_kept_is_made_once() -> None:
    assert cache.kept("a-1", make) == cache.kept("a-1", fail)
    assert (cache.directory() / "a-1" / "x").exists()


def test_what_fails_while_it_is_made_leaves_nothing(place: Path) -> None:
    with pytest.raises(OSError):
        cache.kept("a-1", fail)
    assert not list(place.iterdir())


def test_what_was_used_longest_ago_goes_and_other_kinds_stay(place: Path) -> None:
    cache.kept("other-1", make)
    for number in range(cache.MOST):
        os.utime(cache.kept(f"a-{number}", make), (number, number))
    cache.kept("a-0", fail)
    cache.kept("a-new", make)
    names = {kept.name for kept in place.iterdir()}
    assert {"a-0", "a-new", "other-1"} <= names
    assert "a-1" not in names
    assert len(names) == cache.MOST + 1


def test_what_an_ended_builder_left_half_made_is_removed(place: Path) -> None:
    (place / "making-x").mkdir()
    with cache.alone():
        assert not (place / "making-x").exists()
