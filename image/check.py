"""Whether the programs of a tree find their libraries in it, read from their headers by binutils."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from felix_py.lab.namespaces import run
from felix_py.lab.oci import Tree
from image.errors import ImageError
from image.unpacked import unpacked

ELF = b"\x7fELF"
FILE = re.compile(r"^File: (?P<file>.+)$|\(NEEDED\).*\[(?P<library>.+)\]", re.MULTILINE)


def complete(tree: Tree) -> None:
    """Raises ImageError, which names each library that is absent, with the files that want it; LabError."""
    present = {PurePosixPath(path).name for path in tree}
    absent = sorted(
        f"{library} ({file})" for file, library in needs(tree) if library not in present
    )
    if absent:
        raise ImageError(f"libraries that no chosen package has: {', '.join(absent)}")


def needs(tree: Tree) -> Iterator[tuple[str, str]]:
    """Each program or library of a tree with each library that it names."""
    elf = {
        path: entry
        for path, entry in tree.items()
        if isinstance(entry.content, bytes) and entry.content.startswith(ELF)
    }
    with unpacked(elf) as root:
        files = [str(root / path) for path in sorted(elf)]
        file = ""
        for found in FILE.finditer(run(["readelf", "-d", "-W", *files])):
            if found["file"]:
                file = found["file"].removeprefix(f"{root}/")
            else:
                yield file, found["library"]
