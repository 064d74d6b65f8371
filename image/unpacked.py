"""A tree written to a directory, so that its programs can be run or read there."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from felix_py.lab.oci import Tree


@contextmanager
def unpacked(tree: Tree) -> Iterator[Path]:
    """A tree's files and its links to relative targets in a directory, for as long as the block lasts."""
    with tempfile.TemporaryDirectory(prefix="felix-py-image-") as place:
        root = Path(place)
        for path, entry in tree.items():
            target = root / path
            if entry.content is None:
                target.mkdir(parents=True, exist_ok=True)
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(entry.content, str):
                # An absolute one would lead into this host.
                if not entry.content.startswith("/"):
                    target.symlink_to(entry.content)
            else:
                target.write_bytes(entry.content)
                target.chmod(entry.mode)
        yield root
