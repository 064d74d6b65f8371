"""felixctl: every error is one sentence on standard error and an exit status."""

from __future__ import annotations

import sys

from felix_py.ctl.commands import app
from felix_py.datastore.errors import StoreAway
from felix_py.runtime.errors import FelixPyError


def main() -> None:
    """The console script: 0, 1 for an error, 2 when something is wrong or the usage is."""
    try:
        app()
    except StoreAway as error:
        sys.stderr.write(f"felixctl: etcd does not answer: {error}\n")
        sys.exit(1)
    except (FelixPyError, OSError) as error:
        sys.stderr.write(f"felixctl: {error}\n")
        sys.exit(1)
