"""The compiled shim."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.functional.cni.runtime import compile_shim


@pytest.fixture(scope="session")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shim as it is shipped."""
    return compile_shim(tmp_path_factory.mktemp("shim"), "-Os", "-static", "-s")


@pytest.fixture(scope="session")
def checked_shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shim with address and undefined-behaviour checks: any fault ends it with a report."""
    flags = ("-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
    return compile_shim(tmp_path_factory.mktemp("checked-shim"), *flags)
