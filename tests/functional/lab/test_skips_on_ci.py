"""On CI a skip is a failure, unless the kernel lacks something."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
TEST = "import pytest\n\n\ndef test_it():\n    pytest.skip({reason!r})\n"


@pytest.mark.parametrize(
    ("environment", "reason", "status"),
    [
        ({"CI": "true"}, "needs root", 1),
        ({"CI": "true"}, "kernel lacks ipip", 0),
        ({}, "needs root", 0),
    ],
)
def test_a_skip_counts_as_failed_only_on_ci_and_only_if_the_kernel_could(
    tmp_path: Path, environment: dict[str, str], reason: str, status: int
) -> None:
    file = tmp_path / "test_skipping.py"
    file.write_text(TEST.format(reason=reason))
    kept = {key: value for key, value in os.environ.items() if key != "CI"}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "tests.support.skips", "-c", "/dev/null",
         "-p", "no:cacheprovider", "--rootdir", str(tmp_path), str(file)],
        cwd=ROOT, env=kept | environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == status, done.stdout
