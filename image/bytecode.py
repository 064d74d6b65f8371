"""Compiled Python, made by the image's own interpreter: containers cannot write it on a read-only root.

The compiled files say to be trusted without a look at their source (PEP 552, unchecked): dates mean
nothing in an image. The interpreter is run by its own dynamic linker, so that the builder's Python and
C library may be others. What was compiled once is kept, by the content of the sources.
"""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Mapping
from pathlib import Path

from felix_py.lab.namespaces import run
from felix_py.lab.oci import Entry, Tree, layer
from image import cache
from image.errors import ImageError
from image.unpacked import unpacked

INTERPRETER = "usr/bin/python3.11"
COMPILE_SECONDS = 900.0
COMPILE = """\
import py_compile, sys
root, *paths = sys.stdin.read().splitlines()
for path in paths:
    py_compile.compile(
        f"{root}/{path}", dfile=f"/{path}", doraise=True,
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )
"""
MADE = "compiled.tar"


def compiled(sources: Tree, interpreter: Tree) -> dict[str, Entry]:
    """The compiled files for all .py files of `sources`, by a tree that holds the interpreter.

    Raises ImageError, LabError.
    """
    python = {
        path: entry
        for path, entry in sources.items()
        if path.endswith(".py") and isinstance(entry.content, bytes)
    }
    named = hashlib.sha256(layer(python) + COMPILE.encode())
    named.update(_content(interpreter, INTERPRETER))
    place = cache.kept(
        f"compiled-{named.hexdigest()[:16]}",
        lambda made: _compile(interpreter, python, made / MADE),
    )
    with tarfile.open(place / MADE) as archive:
        members = [member for member in archive if member.isfile()]
        return {member.name: Entry(_read(archive, member)) for member in members}


def _compile(interpreter: Tree, python: Mapping[str, Entry], output: Path) -> None:
    """In one process and in order: what a file shares by reference depends on what was there before."""
    with unpacked({**interpreter, **python}) as root:
        (loader,) = root.glob("usr/lib/*-linux-gnu*/ld-linux-*.so.*")
        command = [str(loader), "--library-path", str(loader.parent), str(root / INTERPRETER)]
        run(
            ["env", "-i", "PYTHONHASHSEED=0", *command, "-s", "-S", "-P", "-c", COMPILE],
            stdin="\n".join([str(root), *sorted(python)]),
            timeout_seconds=COMPILE_SECONDS,
        )
        made = root.rglob("__pycache__/*.pyc")
        tree = {str(file.relative_to(root)): Entry(file.read_bytes()) for file in made}
        ours = {path for path in tree if _source(path) in python}
        if len(ours) != len(python):
            raise ImageError(f"{len(python)} Python files were compiled to {len(ours)}")
        output.write_bytes(layer({path: tree[path] for path in ours}))


def _source(compiled_path: str) -> str:
    folder, _, name = compiled_path.rpartition("/__pycache__/")
    return f"{folder}/{name.partition('.cpython-')[0]}.py"


def _content(tree: Tree, path: str) -> bytes:
    content = tree[path].content
    assert isinstance(content, bytes), path
    return content


def _read(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(member)
    assert file is not None, member.name
    return file.read()
