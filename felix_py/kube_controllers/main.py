"""Composition root of the controllers: the only file that knows all of them."""

from __future__ import annotations

import os
import socket
import sys
from contextlib import ExitStack

import structlog

from felix_py.datastore import credentials
from felix_py.datastore.changes import (
    CONCERN,
    NOT_YET,
    Change,
    StoreState,
    StoreStateKey,
    SyncMailbox,
)
from felix_py.datastore.errors import StoreRefused
from felix_py.datastore.etcd_store import EtcdStore
from felix_py.datastore.history import History
from felix_py.datastore.keys import ControllersKey, Key
from felix_py.datastore.status_board import StatusBoard
from felix_py.datastore.status_document import Identity
from felix_py.datastore.syncer import Syncer
from felix_py.kube_api import access
from felix_py.kube_api.access import NoAccess
from felix_py.kube_api.http_api import HttpKubeApi
from felix_py.kube_api.model import Ref, Resource
from felix_py.kube_api.reflector import KubeChange, KubeMailbox, Reflector, ReflectorState
from felix_py.kube_controllers.announcer import Announcer
from felix_py.kube_controllers.leader import Leadership
from felix_py.kube_controllers.loop import KUBERNETES, Hands, Loop
from felix_py.kube_controllers.releases import Releases
from felix_py.kube_controllers.settings import ControllersSettings
from felix_py.kube_controllers.state import WATCHED, State
from felix_py.kube_controllers.status import DAEMON
from felix_py.kube_controllers.writes import Writer
from felix_py.runtime import health_server, logs
from felix_py.runtime.clock import SystemClock
from felix_py.runtime.health import Health
from felix_py.runtime.mailbox import Mailbox
from felix_py.runtime.settings import BadSettings, load, parse_arguments
from felix_py.runtime.supervisor import Supervisor
from felix_py.runtime.version import VERSION
from ipam.office import Office

log = structlog.get_logger(__name__)
ABOUT = (
    "Mirrors Kubernetes into etcd: labels and profiles; gives back what gone nodes and pods held."
)


def main() -> None:
    """The console script: exit status 0 after SIGTERM, 1 after a fault, 2 for bad settings."""
    try:
        settings = load(
            ControllersSettings,
            parse_arguments(ControllersSettings, sys.argv[1:], ABOUT),
            os.environ,
        )
        logs.set_up(DAEMON, settings.log)
        ours = settings.controllers
        health = Health(SystemClock())
        health.note(CONCERN, NOT_YET.trouble)
        health.note(KUBERNETES, "nothing was read yet")
        health_server.serve(health, ours.health_address, ours.health_port, "controllers.healthPort")
        identity = ours.identity or socket.gethostname()
        log.info("starting", identity=identity, version=VERSION)
        credentials.await_all(settings.datastore, health)
        with ExitStack() as resources:
            sys.exit(_assemble(settings, identity, health, resources).run())
    except (BadSettings, NoAccess, StoreRefused) as error:
        sys.stderr.write(f"felix-kube-controllers: {error}\n")
        sys.exit(2)


def _assemble(
    settings: ControllersSettings, identity: str, health: Health, resources: ExitStack
) -> Supervisor:
    """Everything, ready to run. Raises NoAccess, StoreRefused."""
    clock, ours = SystemClock(), settings.controllers
    api = HttpKubeApi(
        access.find(settings.kubernetes, os.environ), settings.kubernetes.timeout_seconds
    )
    resources.callback(api.close)
    store = EtcdStore.connect(settings.datastore)
    resources.callback(store.close)
    mailbox: SyncMailbox = Mailbox[Key | StoreStateKey, Change | StoreState]()
    kube: KubeMailbox = Mailbox[Ref | Resource, KubeChange | ReflectorState]()

    def put(key: Ref | Resource, change: KubeChange | ReflectorState) -> None:
        kube.put(key, change)
        mailbox.wake()

    leadership = Leadership(api, ours.namespace, identity, clock)
    hands = Hands(
        Writer(store, clock),
        Releases(api, Office(store), ours.node_grace_seconds, ours.quarantine_seconds),
        Announcer(api, clock),
        StatusBoard(store, ControllersKey()).publish,
        Identity.of_this_process(DAEMON, identity, clock.wall()),
    )
    loop = Loop(mailbox, kube, State(), leadership, hands, clock=clock, health=health)
    syncer = Syncer(store, WATCHED, mailbox, History(settings.node.run_dir, DAEMON), clock)
    supervisor = Supervisor()
    supervisor.add("syncer", syncer.run)
    for kind in Resource:
        supervisor.add(kind.value, Reflector(api, kind, put, clock).run)
    supervisor.add("leadership", leadership.run)
    supervisor.add("loop", loop.run)
    return supervisor
