"""Builds both images into a directory, or rewrites the lock files.

python -m image [DIRECTORY [TAG]]     dist and setup.cfg's version by default
python -m image lock
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from felix_py.lab.errors import LabError
from image import build, cache, lock
from image.errors import ImageError


def main(arguments: Sequence[str]) -> int:
    """The exit status."""
    if len(arguments) > 2:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        if list(arguments) == ["lock"]:
            lock.rewrite()
        else:
            directory, tag = [*arguments, *("dist", build.version())[len(arguments) :]]
            write(Path(directory), tag)
    except (ImageError, LabError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def write(directory: Path, tag: str) -> None:
    """Both archives and what each was made from; prints names, sizes and digests."""
    at = int(os.environ.get("SOURCE_DATE_EPOCH", "0"))
    directory.mkdir(parents=True, exist_ok=True)
    with cache.alone():
        for make in (build.felix, build.etcd):
            started = time.monotonic()
            built = make(at, tag)
            file = directory / f"{built.file}.tar"
            _replace(file, built.image.archive)
            text = "\n".join([f"{built.name} {built.image.digest}", *built.packages])
            _replace(file.with_suffix(".packages"), f"{text}\n".encode())
            size, took = len(built.image.archive) / 1e6, time.monotonic() - started
            print(f"{file}  {built.name}  {size:.1f} MB  {took:.0f} s  {built.image.digest}")


def _replace(file: Path, content: bytes) -> None:
    """Whole or not at all: somebody may be reading the old one."""
    made = file.with_name(f".{file.name}.new")
    made.write_bytes(content)
    made.replace(file)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
