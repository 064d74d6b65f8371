"""On CI a skipped test is a failure, unless the kernel cannot do what the test is about.

A test that skips itself because it is not root, or because a program is missing, has shown nothing;
where CI=true is set it fails instead. A reason that begins with `kernel lacks ` stays a skip.
"""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest

ALLOWED = "kernel lacks "


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.skipped and os.environ.get("CI") == "true" and not hasattr(report, "wasxfail"):
        reason = _reason(report)
        if not reason.startswith(ALLOWED):
            report.outcome = "failed"
            report.longrepr = f"skipped on CI: {reason}"
    return report


def _reason(report: pytest.TestReport) -> str:
    text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return text.removeprefix("Skipped: ")
