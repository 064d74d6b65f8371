"""A file is there completely or not at all, whatever the disk says."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import msgspec
import pytest

from cni import durable_file


class Note(msgspec.Struct, frozen=True):
    text: str


def test_a_disk_that_takes_little_at_a_time_gets_all_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, bytes(data)[:3]))
    durable_file.write(tmp_path / "a.json", Note("hello"), sync=True)
    assert durable_file.read_all(tmp_path, Note) == ({tmp_path / "a.json": Note("hello")}, [])


def test_a_full_disk_is_an_error_and_what_stood_there_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    durable_file.write(tmp_path / "a.json", Note("before"), sync=True)
    write, room = os.write, [5]

    def short(descriptor: int, data: bytes) -> int:
        if not room[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        taken = write(descriptor, bytes(data)[: room[0]])
        room[0] -= taken
        return taken

    monkeypatch.setattr(os, "write", short)
    with pytest.raises(OSError, match="space"):
        durable_file.write(tmp_path / "a.json", Note("after"), sync=True)
    assert durable_file.read_all(tmp_path, Note)[0] == {tmp_path / "a.json": Note("before")}
