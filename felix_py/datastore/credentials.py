"""The files that prove to etcd who we are: what is missing, and waiting for it.

On Kubernetes they come from a Secret, which may be made after its readers were started. A daemon
that ended for that would be started ever more slowly; it waits instead and says so.
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import structlog

from felix_py.datastore.settings import DatastoreSettings
from felix_py.runtime.health import Health
from felix_py.runtime.supervisor import stop_on_signals

log = structlog.get_logger(__name__)

LOOK_SECONDS = 1.0
SAY_SECONDS = 60.0
"""How often the log says again what is waited for."""
CONCERN = "etcd certificates"


def missing(settings: DatastoreSettings) -> list[str]:
    """Files that the settings name and that are absent or empty, as `field path`."""
    named = {
        "caCertFile": settings.ca_cert_file,
        "certFile": settings.cert_file,
        "keyFile": settings.key_file,
        "passwordFile": settings.password_file,
    }
    return [f"{field} {path}" for field, path in named.items() if path and not _filled(Path(path))]


def await_all(settings: DatastoreSettings, health: Health) -> None:
    """For a daemon's main: return when nothing is missing; asked to stop before, the process ends."""
    stop = threading.Event()
    stop_on_signals(stop)
    if not wait(settings, health, stop):
        sys.exit(0)


def wait(settings: DatastoreSettings, health: Health, stop: threading.Event) -> bool:
    """Wait until nothing is missing; False: asked to stop before.

    There is no bound: nothing can be done without them, and readiness tells what is missing.
    """
    looks = 0
    while absent := missing(settings):
        reason = f"waiting for {', '.join(absent)} (a Secret that does not exist yet?)"
        health.not_ready(CONCERN, reason)
        if looks % int(SAY_SECONDS / LOOK_SECONDS) == 0:
            log.warning("waiting for etcd's certificates", absent=absent)
        looks += 1
        if stop.wait(LOOK_SECONDS):
            return False
    if looks:
        log.info("etcd's certificates are there", after_seconds=round(looks * LOOK_SECONDS))
    health.ready(CONCERN)
    return True


def _filled(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except OSError:
        return False
