"""The BGP agent's console script."""

from __future__ import annotations

import gc
import os
import sys
from contextlib import ExitStack

import structlog

from bgp.assembly import assemble
from bgp.settings import AgentSettings
from bgp.status import DAEMON
from felix_py.datastore import credentials
from felix_py.datastore.changes import CONCERN, NOT_YET
from felix_py.datastore.errors import StoreRefused
from felix_py.datastore.model import NodeName
from felix_py.runtime import health_server, logs, metrics, node_name
from felix_py.runtime.clock import SystemClock
from felix_py.runtime.health import Health
from felix_py.runtime.settings import BadSettings, load, parse_arguments
from felix_py.runtime.version import VERSION

log = structlog.get_logger(__name__)
ABOUT = "BGP agent: keeps sessions, announcements and learned routes as etcd and the peers say."
GC_ALLOCATIONS = 100_000
"""Frozen values make no cycles: Python's default of 700 walks a full table again and again, for a third
of the time that learning it takes (measured)."""


def main() -> None:
    """The console script: exit status 0 after SIGTERM, 1 after a fault, 2 for bad settings."""
    try:
        settings = load(
            AgentSettings, parse_arguments(AgentSettings, sys.argv[1:], ABOUT), os.environ
        )
        settings.bgp.policy()
        me = NodeName(node_name.settle(settings.node))
        health = Health(SystemClock())
        health.note(CONCERN, NOT_YET.trouble)
        health_server.serve(
            health, settings.bgp.health_address, settings.bgp.health_port, "bgp.healthPort"
        )
    except BadSettings as error:
        sys.stderr.write(f"felix-bgp: {error}\n")
        sys.exit(2)
    logs.set_up(DAEMON, settings.log)
    metrics.serve(settings.bgp.metrics_address, settings.bgp.metrics_port)
    log.info("starting", node=me, version=VERSION)
    credentials.await_all(settings.datastore, health)
    gc.set_threshold(GC_ALLOCATIONS, 50, 100)
    with ExitStack() as resources:
        try:
            supervisor = assemble(settings, me, health, resources)
        except StoreRefused as error:
            sys.stderr.write(f"felix-bgp: {error}\n")
            sys.exit(2)
        sys.exit(supervisor.run())


if __name__ == "__main__":
    main()
