"""Directories that others than root may not enter, and how to let them through inside a namespace.

ExaBGP runs as an ordinary user. A checkout below /root or in a private temporary directory, or an
interpreter there, is out of its reach. Inside a mount namespace of our own the shut directory is
covered by an open one that shows what is needed and nothing else; the host sees none of it.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

CACHES = (".cache/felix-py", ".cache/go-build", ".cache/pip", "go")
"""What is kept between runs below the home directory: lost each time, it would be built each time."""
ASIDE = "/run/felix-py-aside"
"""Where `main` keeps hold of what it shows, inside its own mount namespace."""


def needed() -> list[Path]:
    """What a Python process of ours reads: the interpreter, its environment, our packages."""
    source = Path(__file__).resolve().parents[2]
    wanted = [Path(os.path.realpath(sys.base_prefix)), Path(sys.prefix).absolute(), source]
    return [one for one in wanted if not any(one != o and one.is_relative_to(o) for o in wanted)]


def caches() -> list[Path]:
    """The home directory's caches; they are there afterwards."""
    found = [Path.home() / name for name in CACHES]
    for path in found:
        path.mkdir(parents=True, exist_ok=True)
    return found


def shut_above(path: Path) -> Path | None:
    """The topmost directory on the way to `path` (itself included) that others may not enter."""
    way = [*reversed(path.parents), path]
    return next((one for one in way if not one.stat().st_mode & 0o001), None)


def opening(paths: Iterable[Path], aside: str) -> list[str]:
    """Shell lines, for a mount namespace of one's own, that let others reach these paths."""
    behind: dict[Path, list[Path]] = {}
    for path in dict.fromkeys(paths):
        shut = shut_above(path)
        if shut is not None:
            behind.setdefault(shut, []).append(path)
    lines: list[str] = []
    for number, (shut, shown) in enumerate(sorted(behind.items())):
        kept = [f"{aside}/{number}-{index}" for index in range(len(shown))]
        for source, place in zip(shown, kept, strict=True):
            lines += [f"mkdir -p {shlex.quote(place)}", _bind(str(source), place)]
        lines.append(f"mount -t tmpfs -o mode=0755 tmpfs {shlex.quote(str(shut))}")
        for source, place in zip(shown, kept, strict=True):
            show = _show_children if source == shut else _show
            lines += show(place, str(source))
    return lines


def main(argv: Sequence[str]) -> None:
    """Become the command, where need be in a mount namespace in which others reach what is needed."""
    if os.geteuid() != 0 or not opening(needed(), ASIDE):
        os.execvp(argv[0], list(argv))  # noqa: S606  the caller's own command
    lines = opening([*needed(), *caches()], ASIDE)
    here = shlex.quote(str(Path.cwd()))
    script = "\n".join(
        [
            "set -e",
            f"mkdir -p {ASIDE}",
            f"mount -t tmpfs -o mode=0700 tmpfs {ASIDE}",
            *lines,
            f"cd {here}",
            'exec "$@"',
        ]
    )
    unshare = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh"]
    os.execvp("unshare", [*unshare, *argv])  # noqa: S606  the same


def _show(kept: str, path: str) -> list[str]:
    return [f"mkdir -p {shlex.quote(path)}", _bind(kept, path)]


def _show_children(kept: str, path: str) -> list[str]:
    """The directory itself is shut, and its mode is the user's business: show what it holds."""
    return [
        f"for child in $(ls -A {shlex.quote(kept)}); do",
        f'  kept={shlex.quote(kept)}/"$child" shown={shlex.quote(path)}/"$child"',
        '  if [ -d "$kept" ]; then mkdir -p "$shown"; else touch "$shown"; fi',
        '  mount --rbind "$kept" "$shown"',
        "done",
    ]


def _bind(source: str, place: str) -> str:
    return f"mount --rbind {shlex.quote(source)} {shlex.quote(place)}"


if __name__ == "__main__":
    main(sys.argv[1:])
