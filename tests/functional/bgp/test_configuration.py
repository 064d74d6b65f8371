"""ExaBGP's own parser takes what we write."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bgp.exabgp_command import PROGRAM, command
from bgp.exabgp_config import render
from bgp.exabgp_files import VALIDATE_SECONDS, ConfigFiles
from tests.support.bird import until
from tests.unit.bgp.test_exabgp_config import CASES


@pytest.mark.parametrize("name", CASES)
def test_exabgp_itself_takes_the_text(name: str, tmp_path: Path) -> None:
    relay = f"/usr/bin/python3 -I {tmp_path}/relay.py {tmp_path}/relay.sock"
    path = tmp_path / "exabgp.conf"
    path.write_text(render(CASES[name], relay))
    done = subprocess.run(
        command(sys.executable, "validate", str(path)),
        cwd="/",
        capture_output=True,
        check=False,
        timeout=30,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_candidate_is_checked_put_in_place_or_leaves_no_trace(tmp_path: Path) -> None:
    files = ConfigFiles(tmp_path, sys.executable)
    relay = f"/usr/bin/python3 -I {tmp_path}/relay.py {tmp_path}/relay.sock"
    assert files.installed() is None
    bad = files.candidate("neighbor nonsense {", 0)
    until(lambda: bad.verdict(1) is not None)
    assert bad.verdict(1) is False
    bad.discard()
    assert list(tmp_path.iterdir()) == []
    good = files.candidate(render([], relay), 0)
    until(lambda: good.verdict(1) is not None)
    assert good.verdict(1) is True
    good.install()
    assert files.installed() == render([], relay)
    assert [(p.name, p.stat().st_mode & 0o777) for p in tmp_path.iterdir()] == [
        ("exabgp.conf", 0o640)
    ]


def test_a_check_that_takes_too_long_counts_as_refused(tmp_path: Path) -> None:
    never = tmp_path / "python"
    never.write_text("#!/bin/sh\nexec sleep 300\n")
    never.chmod(0o755)
    candidate = ConfigFiles(tmp_path, str(never)).candidate("x", 0)
    assert candidate.verdict(VALIDATE_SECONDS - 1) is None
    assert candidate.verdict(VALIDATE_SECONDS) is False
    candidate.discard()


def test_the_hosts_own_name_is_not_looked_up() -> None:
    """The control: without the replacement the very same check notices the look-up."""
    watch = "import socket; socket.getfqdn = lambda name='': 1 / 0; "
    replaced = PROGRAM.partition("runpy.run_module")[0]
    asks = "import exabgp.util.dns; print(exabgp.util.dns.domain())"
    for code, status in ((watch + asks, 1), (watch + replaced + asks, 0)):
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, check=False, timeout=30, cwd="/"
        )
        assert done.returncode == status, done.stderr
