"""`felixctl ipam check --fix`: what the audit found is put right, each as it was judged."""

from __future__ import annotations

import time
from collections.abc import Callable

import typer

from felix_py.ctl import output
from felix_py.ctl.connection import Session
from ipam.audit import audit
from ipam.mend import can_mend
from ipam.mender import put_right
from ipam.office import Office


def fix(session: Session, *, yes: bool, wait: Callable[[float], None] = time.sleep) -> bool:
    """Show the plan, ask, do it; True when nothing is left. Raises StoreAway, GaveUp."""
    with session.store() as store:
        found = audit(store, wait)
        planned = [each for each in found.findings if can_mend(each)]
        others = len(found.findings) - len(planned)
        rows = [(str(each.problem), each.what, each.detail, each.repair) for each in planned]
        if planned:
            output.table(("PROBLEM", "WHAT", "DETAIL", "WHAT WILL BE DONE"), rows)
        if planned and not yes:
            typer.confirm(f"Put these {len(planned)} right?", abort=True)
        left = others
        for each in put_right(Office(store), planned, found.revision):
            print(f"{each.finding.what}: {each.said}")
            left += not each.done
    if left:
        print(f"{left} left: `felixctl ipam check` says what to do")
    elif not planned:
        print("nothing is wrong")
    return not left
