"""Composition root of the CNI server: the only file that knows all of it."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from functools import partial

import structlog

from cni.attachments import Attachments
from cni.conflist_writer import ConflistWriter
from cni.events import Events
from cni.install import install, install_shim, uninstall
from cni.living import Living
from cni.mtu import NodeMtu
from cni.owner import Owner
from cni.pending import PendingDels, Settler
from cni.pods import KnownPods
from cni.records import Records
from cni.recovery import Here, Recovery
from cni.server import Server
from cni.service import Service
from cni.settings import Settings
from cni.status import DAEMON, NOT_READ, ObservedMailbox, Reporter
from cni.tunnel_devices import TunnelDevices
from cni.veth import PodVeths
from felix_py.datastore import credentials, roster
from felix_py.datastore.errors import StoreRefused
from felix_py.datastore.etcd_store import EtcdStore
from felix_py.datastore.fence import Fence
from felix_py.datastore.history import History
from felix_py.datastore.judge import Judge
from felix_py.datastore.keys import SessionKey, StatusKey
from felix_py.datastore.model import NodeName
from felix_py.datastore.status_board import StatusBoard
from felix_py.datastore.syncer import Syncer
from felix_py.kernel.pod_links import NetlinkPodLinks
from felix_py.kernel.pyroute2_kernel import Pyroute2Kernel
from felix_py.kube_api import access
from felix_py.kube_api.access import NoAccess
from felix_py.kube_api.http_api import HttpKubeApi
from felix_py.kube_api.model import Resource
from felix_py.kube_api.port import Scope
from felix_py.kube_api.reflector import Reflector
from felix_py.kube_api.settings import KubernetesSettings
from felix_py.runtime import health_server, logs, metrics, node_name, status_file
from felix_py.runtime.clock import SystemClock
from felix_py.runtime.health import Health
from felix_py.runtime.settings import BadSettings, load, parse_arguments
from felix_py.runtime.supervisor import Supervisor
from felix_py.runtime.version import VERSION
from ipam.allocator import Allocator
from ipam.auditor import Auditor
from ipam.watched import watched_prefixes

log = structlog.get_logger(__name__)

TAKEOVER = "--takeover"
ERRANDS = {"install": install, "uninstall": uninstall}
ABOUT = f"""felix-cni: answers the CNI shim on this node.
felix-cni install: put the shim into cni.binDir, and portmap, bandwidth and loopback where it lacks them.
felix-cni uninstall: remove from there and from cni.confDir what is ours.
{TAKEOVER}: become this node's writer although another machine's session key stands in etcd."""


def main() -> None:
    """The console script: exit status 0 after SIGTERM, 1 after a fault, 2 for bad settings."""
    arguments = [argument for argument in sys.argv[1:] if argument != TAKEOVER]
    errand = ERRANDS.get(arguments[0]) if arguments else None
    try:
        path = parse_arguments(Settings, arguments[1:] if errand else arguments, ABOUT)
        settings = load(Settings, path, os.environ)
        if errand is not None:
            logs.set_up(DAEMON, settings.log)
            errand(settings.cni)
            return
        with ExitStack() as resources:
            sys.exit(_serve(settings, resources).run())
    except (BadSettings, NoAccess, StoreRefused) as error:
        sys.stderr.write(f"felix-cni: {error}\n")
        sys.exit(2)


def _serve(settings: Settings, resources: ExitStack) -> Supervisor:
    """The server, ready to run. Raises BadSettings, NoAccess, StoreRefused."""
    node = NodeName(node_name.settle(settings.node))
    identity = (node_name.machine_id(), TAKEOVER in sys.argv[1:])
    logs.set_up(DAEMON, settings.log)
    health = Health(SystemClock())
    health.note(DAEMON, NOT_READ)
    health_server.serve(
        health, settings.cni.health_address, settings.cni.health_port, "cni.healthPort"
    )
    install_shim(settings.cni)
    metrics.serve(settings.cni.metrics_address, settings.cni.metrics_port)
    log.info("starting", node=node, version=VERSION)
    credentials.await_all(settings.datastore, health)
    return assemble(settings, node, identity, health, resources)


def assemble(
    settings: Settings,
    node: NodeName,
    identity: tuple[str, bool],
    health: Health,
    resources: ExitStack,
) -> Supervisor:
    """Everything wired, nothing started. `identity`: the machine's id, and whether it takes over."""
    machine_id, takeover = identity
    run_dir, clock = settings.node.run_dir, SystemClock()
    store = EtcdStore.connect(settings.datastore)
    resources.callback(store.close)
    kernel = resources.enter_context(Pyroute2Kernel())
    links = NetlinkPodLinks()
    resources.callback(links.close)
    mailbox = ObservedMailbox(health)
    fence = Fence(store, node, machine_id)
    records = Records(run_dir)
    living = Living(node, records, kernel, clock)
    devices = TunnelDevices(kernel)
    allocator = Allocator(
        store,
        fence,
        node,
        mailbox,
        clock,
        living=living,
        devices=devices,
        others=lambda: recovery.others_register,
    )
    attachments = Attachments(
        node=node,
        addresses=allocator,
        store=store,
        veths=PodVeths(kernel, links),
        records=records,
        pending=PendingDels(settings.node.state_dir),
        clock=clock,
        mtus=NodeMtu(settings.cni.mtu, settings.node.state_dir),
    )
    board = StatusBoard(store, StatusKey(node, DAEMON))
    reporter = Reporter(attachments, mailbox, allocator.status, board.publish, run_dir, health)
    bgp_status = partial(status_file.read_running, run_dir, "bgp")
    bgp = bgp_status if settings.node.backend == "bgp" else None
    writer = ConflistWriter(
        settings.cni, reporter.why_not_at_first, bgp, clock, shapes=settings.kubernetes.enabled
    )
    reporter.concerns.append(writer)
    supervisor = Supervisor()
    pods = _known_pods(settings.kubernetes, node, supervisor, resources)
    if pods is not None:
        reporter.concerns.append(pods)
        reporter.kubernetes = pods.why_not
    service = Service(attachments, reporter.why_not, pods)
    server = Server(settings.socket_path, service)
    resources.callback(server.close)
    watched = (*watched_prefixes(node), SessionKey(node).path)
    syncer = Syncer(store, watched, mailbox, History(run_dir, DAEMON), clock)
    supervisor.add("syncer", syncer.run)
    may_open = mailbox.trusts_store
    auditor = Auditor(
        store,
        node,
        clock,
        living.handles,
        lambda: reporter.why_not() is None,
        period_seconds=settings.cni.audit_seconds,
        quarantine_seconds=settings.cni.quarantine_seconds,
    )
    reporter.concerns.append(auditor)
    supervisor.add("auditor", auditor.run)
    here = Here(
        node,
        machine_id,
        lambda: [*living.claims(), *devices.claims(node)],
        service.adding,
        partial(roster.read, run_dir),
        lambda *seen: Judge(store, History(run_dir, DAEMON)).disproves(*seen),
        lambda: bool(allocator.status()["registered"]),
    )
    manual = settings.cni.recovery == "manual"
    recovery = Recovery(store, here, lambda: mailbox.store_state, clock, manual=manual)
    reporter.concerns.append(recovery)
    supervisor.add("recovery", recovery.run)
    owner = Owner(fence, takeover, allocator.run, reporter.note_fence, may_open)
    supervisor.add("allocator", owner.run)
    supervisor.add("settler", Settler(attachments.pending, service.settle, clock).run)
    supervisor.add("reporter", reporter.run)
    supervisor.add("conflist", writer.run)
    server.add_to(supervisor)
    return supervisor


def _known_pods(
    settings: KubernetesSettings, node: NodeName, supervisor: Supervisor, resources: ExitStack
) -> KnownPods | None:
    """This node's pods and all namespaces, watched; None where there is no Kubernetes. Raises NoAccess."""
    if not settings.enabled:
        return None
    clock = SystemClock()
    api = HttpKubeApi(access.find(settings, os.environ), settings.timeout_seconds)
    resources.callback(api.close)
    events = Events(api, clock)
    pods = KnownPods(api, events)
    watched = Reflector(api, Resource.PODS, pods.put, clock, Scope(node=node))
    supervisor.add("pods", watched.run)
    supervisor.add("namespaces", Reflector(api, Resource.NAMESPACES, pods.put, clock).run)
    supervisor.add("events", events.run)
    return pods
