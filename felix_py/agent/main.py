"""Composition root of felix: the only file that knows all of it."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from functools import partial

import structlog

from felix_py.agent import status
from felix_py.agent.loop import Loop, Managers, Outlets
from felix_py.agent.managers.filter import FilterManager
from felix_py.agent.managers.forwarding import Forwarding
from felix_py.agent.managers.host import HostManager
from felix_py.agent.managers.links import LinkManager
from felix_py.agent.managers.mtu import MtuManager
from felix_py.agent.managers.qos import QosManager
from felix_py.agent.managers.roster import RosterManager
from felix_py.agent.managers.routes import RouteManager
from felix_py.agent.managers.tunnels import TunnelManager
from felix_py.agent.managers.ways import WayReporter
from felix_py.agent.publication import Publication
from felix_py.agent.reporter import Reporter
from felix_py.agent.settings import AgentSettings, methods
from felix_py.agent.state import State, watched_prefixes
from felix_py.agent.survivors import Survivors
from felix_py.datastore import concern, credentials, roster
from felix_py.datastore.calc.reachability import Backend
from felix_py.datastore.changes import CONCERN, NOT_YET, SyncMailbox
from felix_py.datastore.compactor import Compactor
from felix_py.datastore.errors import StoreRefused
from felix_py.datastore.etcd_store import EtcdStore
from felix_py.datastore.history import History
from felix_py.datastore.keys import StatusKey
from felix_py.datastore.model import NodeName
from felix_py.datastore.status_board import StatusBoard
from felix_py.datastore.status_document import Identity
from felix_py.datastore.syncer import Syncer
from felix_py.kernel import mtu_file, pod_records
from felix_py.kernel.conntrack import forget_untranslated
from felix_py.kernel.hints import Hints, KernelReader
from felix_py.kernel.iptables_legacy import IptablesLegacy
from felix_py.kernel.link_settings import LinkSettingsDriver
from felix_py.kernel.nft_command import NftCommand
from felix_py.kernel.nft_monitor import GenerationSocket, NftReader
from felix_py.kernel.nft_pieces import FAMILY
from felix_py.kernel.nft_pieces_table import PiecesTable
from felix_py.kernel.nft_table import NftTables
from felix_py.kernel.ownership import BGP, FELIX, QOS_TABLE
from felix_py.kernel.pyroute2_kernel import Pyroute2Kernel
from felix_py.kernel.route_table import RouteTable, prefixes_of
from felix_py.kernel.traffic_control import TrafficControl
from felix_py.kernel.tunnel_links import NetlinkTunnelLinks
from felix_py.runtime import health_server, logs, metrics, node_name, status_file
from felix_py.runtime.clock import SystemClock
from felix_py.runtime.health import Health
from felix_py.runtime.mailbox import Mailbox
from felix_py.runtime.settings import BadSettings, load, parse_arguments
from felix_py.runtime.supervisor import Supervisor
from felix_py.runtime.version import VERSION

log = structlog.get_logger(__name__)
ABOUT = "Felix: keeps this node's routes, link settings and Node object as etcd says."


def main() -> None:
    """The console script: exit status 0 after SIGTERM, 1 after a fault, 2 for bad settings."""
    try:
        settings = load(
            AgentSettings, parse_arguments(AgentSettings, sys.argv[1:], ABOUT), os.environ
        )
        how = methods(settings.felix)
        me = NodeName(node_name.settle(settings.node))
        health = Health(SystemClock())
        health.note(CONCERN, NOT_YET.trouble)
        health_server.serve(
            health, settings.felix.health_address, settings.felix.health_port, "felix.healthPort"
        )
    except BadSettings as error:
        sys.stderr.write(f"felix-agent: {error}\n")
        sys.exit(2)
    logs.set_up(status.DAEMON, settings.log)
    metrics.serve(settings.felix.metrics_address, settings.felix.metrics_port)
    log.info("starting", node=me, version=VERSION)
    credentials.await_all(settings.datastore, health)
    with ExitStack() as resources:
        try:
            supervisor = _assemble(settings, me, how, health, resources)
        except StoreRefused as error:
            sys.stderr.write(f"felix-agent: {error}\n")
            sys.exit(2)
        sys.exit(supervisor.run())


def _assemble(
    settings: AgentSettings,
    me: NodeName,
    how: dict[int, str],
    health: Health,
    resources: ExitStack,
) -> Supervisor:
    clock, run_dir, state_dir = SystemClock(), settings.node.run_dir, settings.node.state_dir
    records = partial(pod_records.record_of, run_dir=run_dir)
    store = EtcdStore.connect(settings.datastore)
    resources.callback(store.close)
    kernel = resources.enter_context(Pyroute2Kernel())
    mailbox: SyncMailbox = Mailbox()
    hints = Hints()
    # Learned routes are the other agent's and come by the ten thousand.
    reader = KernelReader(kernel, hints, mailbox.wake, frozenset({BGP.route_protocol}))
    qos_table = (FAMILY, QOS_TABLE)
    nft_reader = NftReader(mailbox.wake, frozenset({qos_table}))
    history = History(run_dir, status.DAEMON)
    board = StatusBoard(store, StatusKey(me, status.DAEMON))
    reporter = Reporter(store, me, board, clock, settings.felix.kubernetes_node)
    tunnel_links = resources.enter_context(NetlinkTunnelLinks())
    packets = _filter(nft_reader, resources)
    tunnels = TunnelManager(tunnel_links, lambda: kernel.read_settings("all").rp_filter or 0)
    shaping = resources.enter_context(TrafficControl())
    qos = QosManager(
        shaping,
        PiecesTable(NftCommand(), QOS_TABLE, partial(nft_reader.touched, qos_table)),
    )
    loop = Loop(
        mailbox,
        hints,
        kernel,
        Managers(
            RouteManager(RouteTable(kernel, FELIX), lambda at: prefixes_of(kernel, BGP, at)),
            LinkManager(kernel, LinkSettingsDriver(kernel)),
            HostManager(kernel),
            (
                packets,
                MtuManager(partial(mtu_file.write, state_dir), records),
                tunnels,
                qos,
                WayReporter(),
                RosterManager(partial(roster.write, run_dir)),
            ),
        ),
        Outlets(
            reporter,
            lambda document: status_file.write(run_dir, status.DAEMON, document),
            Identity.of_this_process(status.DAEMON, me, clock.wall()),
            node_name.host_name_differs(me),
            lambda: history.guid,
            Publication(lambda: tunnels.published, lambda: packets.senders_stand),
        ),
        how,
        state=State(me, Backend(settings.node.backend)),
        survivors=Survivors(records),
        clock=clock,
        health=health,
    )
    supervisor = Supervisor()
    syncer = Syncer(
        store, watched_prefixes(me), mailbox, history, clock, reading=concern.of_node(me)
    )
    supervisor.add("syncer", syncer.run)
    supervisor.add("kernel", reader.run)
    supervisor.add("nftables", nft_reader.run)
    supervisor.add("loop", loop.run)
    supervisor.add("reporter", reporter.run)
    period = settings.datastore.compaction_seconds
    supervisor.add("compactor", Compactor(store, period, lambda: not history.doubt).run)
    return supervisor


def _filter(reader: NftReader, resources: ExitStack) -> FilterManager:
    generation, nft = GenerationSocket(), NftCommand()
    resources.callback(generation.close)
    return FilterManager(
        NftTables(nft, generation.read),
        reader.take,
        Forwarding(nft, IptablesLegacy()),
        forget_untranslated,
    )
