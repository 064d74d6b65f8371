"""The lock file and what setup.cfg asks for."""

from __future__ import annotations

import re

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from image import lock, wheels


def locked(text: str) -> dict[str, str]:
    """Versions by name."""
    found = re.findall(r"^(\S+)==(\S+) \\$", text, re.MULTILINE)
    return {canonicalize_name(name): version for name, version in found}


def unmet(requirements: list[str], versions: dict[str, str]) -> list[str]:
    """The requirements that no locked version fulfils."""
    asked = [Requirement(each) for each in requirements]
    return [
        str(each)
        for each in asked
        if not each.specifier.contains(versions.get(canonicalize_name(each.name), "0.dev0"), True)
    ]


def test_the_lock_file_has_what_setup_asks_for_or_make_lock_was_forgotten() -> None:
    assert not unmet(lock.requirements(), locked(wheels.LOCK.read_text()))


def test_the_comparison_sees_what_is_absent_and_what_is_too_old() -> None:
    assert unmet(["new-one>=1", "old>=2", "good>=1"], {"old": "1.9", "good": "1.0"}) == [
        "new-one>=1",
        "old>=2",
    ]


def test_every_line_of_the_lock_files_is_pinned_with_hashes() -> None:
    for file in (wheels.LOCK, wheels.TOOLS_LOCK):
        lines = [line for line in file.read_text().splitlines() if not line.startswith("#")]
        for line in lines:
            assert re.fullmatch(r"\S+==\S+ \\|    --hash=sha256:[0-9a-f]{64}( \\)?", line), line
        assert len(locked(file.read_text())) == sum(line[0] != " " for line in lines)
    assert set(wheels.FROM_SOURCE) <= set(locked(wheels.LOCK.read_text()))
    assert set(lock.TOOLS) <= set(locked(wheels.TOOLS_LOCK.read_text()))
