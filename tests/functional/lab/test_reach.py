"""What lies in a directory that others may not enter can be read by ExaBGP's user all the same."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from pathlib import Path

import pytest

from felix_py.lab import reach

pytestmark = pytest.mark.root

CHECKOUT = Path(__file__).parents[3]
AS_NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]


def read_as_nobody(file: Path, lines: list[str]) -> subprocess.CompletedProcess[str]:
    """cat as an ordinary user, in a mount namespace prepared by these lines."""
    command = " ".join([*AS_NOBODY, "cat", str(file)])
    script = "\n".join(["set -e", *lines, command])
    return subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", script],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@pytest.fixture
def shut() -> Path:
    """A private directory whose parents are open."""
    made = Path("/var/tmp", f"felix-py-{secrets.token_hex(4)}")
    made.mkdir(mode=0o700)
    return made


@pytest.mark.parametrize("inside", ["checkout", ""])
def test_a_file_behind_a_shut_directory_is_read_and_the_directory_stays_shut(
    shut: Path, inside: str, tmp_path: Path
) -> None:
    shown = shut / inside
    shown.mkdir(exist_ok=True)
    (shown / "package").mkdir()
    file = shown / "package" / "text"
    file.write_text("hello")
    file.chmod(0o644)
    try:
        assert read_as_nobody(file, []).returncode != 0
        aside = tmp_path / "aside"
        done = read_as_nobody(file, reach.opening([shown], str(aside)))
        assert done.stdout == "hello", done.stderr
        assert shut.stat().st_mode & 0o777 == 0o700
    finally:
        subprocess.run(["rm", "-r", str(shut)], check=True)


def test_an_open_path_needs_nothing(tmp_path: Path) -> None:
    assert reach.opening([Path("/usr/bin")], str(tmp_path)) == []


def test_what_is_kept_below_a_shut_home_directory_is_still_there_afterwards(
    tmp_path: Path,
) -> None:
    """A process of ours becomes another one in its own mount namespace; both write below its home."""
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    program = (
        "import sys; from pathlib import Path; from felix_py.lab import reach\n"
        f"reach.needed = lambda: [Path({str(home)!r}) / 'checkout']\n"
        "reach.main(sys.argv[1:])"
    )
    (home / "checkout").mkdir()
    write = f"echo kept > {home}/.cache/felix-py/built; echo lost > {home}/lost"
    subprocess.run(
        [sys.executable, "-c", program, "sh", "-c", write],
        check=True,
        timeout=60,
        cwd="/",
        env={**os.environ, "HOME": str(home), "PYTHONPATH": str(CHECKOUT)},
    )
    assert (home / ".cache/felix-py/built").read_text() == "kept\n"
    assert not (home / "lost").exists()
