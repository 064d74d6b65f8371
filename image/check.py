"""Whether a tree is whole: links lead somewhere, and programs find their libraries in it."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from felix_py.lab.namespaces import run
from felix_py.lab.oci import Tree
from image import debian
from image.errors import ImageError
from image.unpacked import unpacked

ELF = b"\x7fELF"
FILE = re.compile(r"^File: (?P<file>.+)$|\(NEEDED\).*\[(?P<library>.+)\]", re.MULTILINE)


def complete(tree: Tree) -> None:
    """Raises ImageError, which names what is absent and the files that want it; LabError."""
    dangling = sorted(f"{to} ({link})" for link, to in links(tree) if to not in tree)
    if dangling:
        raise ImageError(f"links to what was not chosen: {', '.join(dangling)}")
    present = {PurePosixPath(path).name for path in tree}
    absent = sorted(
        f"{library} ({file})" for file, library in needs(tree) if library not in present
    )
    if absent:
        raise ImageError(f"libraries that no chosen package has: {', '.join(absent)}")


def links(tree: Tree) -> Iterator[tuple[str, str]]:
    """Each symbolic link to a file, with the path that it leads to; those of the root are to directories."""
    for path, entry in tree.items():
        folder, _, _ = path.rpartition("/")
        if isinstance(entry.content, str) and folder:
            target = posixpath.normpath(posixpath.join("/", folder, entry.content))
            yield path, debian.merged(target.lstrip("/"))


def needs(tree: Tree) -> Iterator[tuple[str, str]]:
    """Each program or library of a tree with each library that its header names, by binutils."""
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
