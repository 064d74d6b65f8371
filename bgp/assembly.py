"""Composition root of the BGP agent: the only file that knows all of it."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path

import bgp.relay
from bgp.dialogue import Dialogue
from bgp.door import Door, Questions
from bgp.exabgp_files import ConfigFiles
from bgp.exabgp_process import ExabgpProcess
from bgp.exabgp_watch import Watch
from bgp.fib import Fib
from bgp.inbox import MAX_EVENTS, Bell, RingingMailbox, RingingStream
from bgp.launcher_client import LauncherClient
from bgp.learned import Learned
from bgp.loop import Inputs, Loop, Parts
from bgp.model import Event
from bgp.relay_client import RelayClient
from bgp.reporting import Publisher, Reporting
from bgp.rib_in import RibIn
from bgp.routing import QUIET, Routing
from bgp.secrets import SecretFiles
from bgp.sessions import Sessions
from bgp.settings import AgentSettings
from bgp.speaker import Speaker
from bgp.state import ACCEPT_PATIENCE_SECONDS, State, is_awaited, is_back, watched_prefixes
from bgp.status import DAEMON
from bgp.underlay import UnderlayReader
from bgp.yielding import Yielding
from felix_py.datastore import concern
from felix_py.datastore.calc.reachability import Backend
from felix_py.datastore.changes import Change, StoreState, StoreStateKey, SyncMailbox
from felix_py.datastore.etcd_store import EtcdStore
from felix_py.datastore.history import History
from felix_py.datastore.keys import Key, StatusKey
from felix_py.datastore.model import NodeName
from felix_py.datastore.refill import Refill
from felix_py.datastore.status_board import StatusBoard
from felix_py.datastore.status_document import Identity
from felix_py.datastore.syncer import Syncer
from felix_py.kernel.hints import Hints, KernelReader
from felix_py.kernel.ownership import BGP, FELIX
from felix_py.kernel.pyroute2_kernel import Pyroute2Kernel
from felix_py.kernel.route_table import RouteTable, prefixes_of
from felix_py.runtime import status_file
from felix_py.runtime.clock import SystemClock
from felix_py.runtime.health import Health
from felix_py.runtime.supervisor import Supervisor


def assemble(
    settings: AgentSettings, me: NodeName, health: Health, resources: ExitStack
) -> Supervisor:
    """All threads of the agent, ready to run; `resources` gets what must be closed at the end."""
    clock, bell, run_dir = SystemClock(), Bell(), settings.node.run_dir
    store = EtcdStore.connect(settings.datastore)
    resources.callback(store.close)
    kernel = resources.enter_context(Pyroute2Kernel())
    mailbox: SyncMailbox = RingingMailbox[Key | StoreStateKey, Change | StoreState](bell)
    events = RingingStream[Event](bell, MAX_EVENTS)
    hints, history = Hints(), History(run_dir, DAEMON)
    client, rib = RelayClient(f"{run_dir}/bgp/relay.sock", events), RibIn()
    publisher = Publisher(StatusBoard(store, StatusKey(me, DAEMON)))
    identity = Identity.of_this_process(DAEMON, me, clock.wall())
    routing = _routing(settings, rib, kernel, hints)
    reporting = Reporting(
        identity,
        clock,
        lambda said: status_file.write(run_dir, DAEMON, said),
        publisher.publish,
        health,
    )
    supervisor, secrets = Supervisor(), SecretFiles(settings.bgp.secrets_dir)
    questions = Questions(bell.ring)
    loop = Loop(
        Inputs(
            bell, mailbox, events, lambda: client.connected, client.reconnect, secrets, questions
        ),
        State(me, Backend(settings.node.backend)),
        Parts(rib, _sessions(settings, rib, client, clock), routing, reporting),
        settings.bgp.prefix_limit,
        clock,
        health,
    )
    refill = Refill(ACCEPT_PATIENCE_SECONDS, is_awaited, is_back)
    watched, reading = watched_prefixes(me), concern.of_node(me)
    syncer = Syncer(store, watched, mailbox, history, clock, refill=refill, reading=reading)
    supervisor.add("syncer", syncer.run)
    supervisor.add("kernel", KernelReader(kernel, hints, bell.ring, QUIET).run)
    supervisor.add("relay", client.run)
    supervisor.add("publisher", publisher.run)
    supervisor.add("door", Door(Path(run_dir) / "bgp" / "ask.sock", questions).run)
    supervisor.add("loop", loop.run)
    return supervisor


def _routing(settings: AgentSettings, rib: RibIn, kernel: Pyroute2Kernel, hints: Hints) -> Routing:
    learned = Learned(rib, settings.bgp.policy())
    yielding = Yielding(learned.felixs, lambda at: prefixes_of(kernel, FELIX, at))
    return Routing(
        rib,
        learned,
        Fib(RouteTable(kernel, BGP), yielding),
        UnderlayReader(kernel),
        hints,
        keep_seconds=settings.bgp.keep_routes_seconds,
    )


def _sessions(
    settings: AgentSettings, rib: RibIn, client: RelayClient, clock: SystemClock
) -> Sessions:
    directory = Path(settings.node.run_dir) / "bgp"
    python = settings.bgp.python or sys.executable
    dialogue = Dialogue(lambda lines: client.send(lines, dialogue.connection), clock.now)
    speaker = Speaker(dialogue, clock.now)
    launcher = LauncherClient(str(directory / "launcher.sock"))
    sessions = Sessions(rib, dialogue, speaker, clock.now)
    relay = f"{python} -I {Path(bgp.relay.__file__).resolve()} {directory}/relay.sock"
    sessions.drive(
        ExabgpProcess(
            relay,
            ConfigFiles(directory, sys.executable),
            dialogue,
            speaker,
            Watch(dialogue, launcher, lambda: client.connected),
            sessions.handle,
        )
    )
    return sessions
