"""One node of the many-writers test: a real fence, syncer and allocator, and threads that want pods.

`live` is the body of a process that a fork server starts, so that a new one costs no imports. Each
granted lease is appended to <directory>/<node>/granted as JSON, for the checker; a death at a write of
its own to <directory>/<node>/deaths.
"""

from __future__ import annotations

import itertools
import json
import multiprocessing
import os
import random
import signal
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from felix_py.datastore import codec
from felix_py.datastore.changes import SyncMailbox
from felix_py.datastore.errors import StoreAway
from felix_py.datastore.etcd_store import EtcdStore
from felix_py.datastore.fence import Fence
from felix_py.datastore.history import History
from felix_py.datastore.keys import ResourceKey, kind_prefix, parse
from felix_py.datastore.model import HandleId, IPAddress, Kind, NodeName, WorkloadEndpoint
from felix_py.datastore.settings import DatastoreSettings
from felix_py.datastore.store import KeyValue, Store, Transaction
from felix_py.datastore.syncer import Syncer
from felix_py.runtime.clock import SystemClock
from felix_py.runtime.errors import FelixPyError
from felix_py.runtime.mailbox import Mailbox
from felix_py.runtime.supervisor import Supervisor
from ipam.allocator import Allocator
from ipam.errors import PoolExhausted
from ipam.requests import AssignRequest, EndpointDraft, Lease, ReleaseRequest, RenderEndpoint
from ipam.watched import watched_prefixes
from tests.support.hooked_store import HookedStore


@dataclass(frozen=True, slots=True)
class Switch:
    """Kills its process at its nth write (from 1, which opens the fence; 0: never), before it is sent or
    when its answer is there."""

    at: int = 0
    before: bool = False

    def on(self, store: Store, deaths: Path) -> HookedStore:
        """A store with this switch; a death is noted in the file."""
        numbers = itertools.count(1)

        def count(_: Transaction) -> None:
            if next(numbers) == self.at:
                with deaths.open("a") as file:
                    file.write(f"{'before' if self.before else 'after'} {self.at}\n")
                os.kill(os.getpid(), signal.SIGKILL)

        hooked = HookedStore(store)
        if self.before:
            hooked.before = count
        else:
            hooked.after = count
        return hooked


@dataclass(frozen=True, slots=True)
class Task:
    """What a node does: `work` until it is told to stop, or `drain`: release everything there is."""

    mode: str = "work"
    threads: int = 6
    most_pods: int = 30
    switch: Switch = field(default_factory=Switch)


class Pods:
    """The pods of one node, as its container runtime knows them."""

    def __init__(
        self, allocator: Allocator, node: str, directory: Path, seed: int, most: int
    ) -> None:
        self.allocator = allocator
        self.most = most
        self.node = node
        self.random = random.Random(seed)
        self.lock = threading.Lock()
        self.mine: list[str] = []
        self.number = 0
        self.seed = seed
        self.granted = (directory / "granted").open("a", buffering=1)

    def work(self, stop: threading.Event) -> None:
        while not stop.is_set():
            with self.lock:
                grow = self.random.random() < 0.6 and len(self.mine) < self.most
                chosen = None if grow or not self.mine else self._pop()
            try:
                if grow:
                    self.start()
                elif chosen is not None:
                    self.end(chosen)
                else:
                    time.sleep(0.01)
            except FelixPyError as error:
                time.sleep(0.002 if isinstance(error, PoolExhausted) else 0.05)

    def start(self) -> None:
        with self.lock:
            self.number += 1
            container = f"{self.node}x{self.seed}x{self.number}"
            families = (4, 6) if self.random.random() < 0.3 else (4,)
        draft = EndpointDraft(endpoint_key(self.node, container), render_for(self.node, container))
        request = AssignRequest(handle(container), {"node": self.node}, families, endpoint=draft)
        lease = self.allocator.assign(request, 10)
        if self.number % 5 == 0:
            again = self.allocator.assign(request, 10)
            assert again.addresses == lease.addresses, (again, lease)
        self.note(lease)
        with self.lock:
            self.mine.append(container)

    def end(self, container: str) -> None:
        try:
            key = endpoint_key(container.partition("x")[0], container)
            self.allocator.release(ReleaseRequest(handle(container), container, key), 10)
        except FelixPyError:
            with self.lock:
                self.mine.append(container)
            raise

    def note(self, lease: Lease) -> None:
        addresses = [str(leased.address) for leased in lease.addresses]
        document = [lease.handle_id, addresses, lease.revision]
        self.granted.write(json.dumps(document) + "\n")

    def _pop(self) -> str:
        index = self.random.randrange(len(self.mine))
        return self.mine.pop(index)


def handle(container: str) -> HandleId:
    return HandleId(f"net.{container}")


def endpoint_key(node: str, container: str) -> ResourceKey:
    return ResourceKey(Kind.WORKLOAD_ENDPOINT, f"{node}-k8s-{container}-eth0", "default")


def render_for(node: str, container: str) -> RenderEndpoint:
    def render(given: tuple[IPAddress, ...], stored: KeyValue | None) -> bytes:
        spec = {
            "orchestrator": "k8s",
            "node": node,
            "pod": container,
            "endpoint": "eth0",
            "containerID": container,
            "interfaceName": "cali0",
            "ipNetworks": [f"{address}/{address.max_prefixlen}" for address in given],
        }
        key = endpoint_key(node, container)
        return codec.render_new(key, spec, uid="u", created_at="2026-01-01T00:00:00Z")

    return render


def containers(store: Store, node: str | None) -> list[str]:
    """What runs according to the store: a restarted node's runtime still has its pods."""
    found = []
    for item in store.list(kind_prefix(Kind.WORKLOAD_ENDPOINT)).items:
        key = parse(item.key)
        value = codec.decode(key, item.value) if key else None
        if isinstance(value, WorkloadEndpoint) and node in (None, value.node):
            found.append(value.container_id)
    return found


def patiently(store: Store, node: str | None) -> list[str]:
    for _ in range(100):
        try:
            return containers(store, node)
        except StoreAway:
            time.sleep(0.1)
    raise SystemExit("etcd does not come back")


def opened(fence: Fence) -> Fence:
    """As a server that starts while etcd is away: again, until it is there."""
    for _ in range(100):
        try:
            fence.open()
        except StoreAway:
            time.sleep(0.1)
        else:
            return fence
    raise SystemExit("etcd does not come back")


def live(settings: DatastoreSettings, node: str, directory: Path, seed: int, task: Task) -> None:
    """The process's body; it exits with the supervisor's status, of a drain with what is left."""
    where = directory / node
    where.mkdir(parents=True, exist_ok=True)
    log = os.open(directory / f"{node}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    store = task.switch.on(EtcdStore.connect(settings), where / "deaths")
    known = patiently(store, None if task.mode == "drain" else node)
    fence = opened(Fence(store, NodeName(node), f"machine-{node}"))
    mailbox: SyncMailbox = Mailbox()
    clock = SystemClock()
    history = History(str(where), "cni")
    allocator = Allocator(store, fence, NodeName(node), mailbox, clock)
    pods = Pods(allocator, node, where, seed, task.most_pods)
    pods.mine = known
    supervisor = Supervisor()
    prefixes = watched_prefixes(NodeName(node))
    supervisor.add("syncer", Syncer(store, prefixes, mailbox, history, clock).run)
    supervisor.add("allocator", allocator.run)
    supervisor.add("orphan", end_with_parent)
    if task.mode == "drain":
        supervisor.add("drain", lambda stop: drain(pods, stop))
        supervisor.run()
        sys.exit(len(pods.mine))
    for number in range(task.threads):
        supervisor.add(f"pods-{number}", pods.work)
    sys.exit(supervisor.run())


def end_with_parent(stop: threading.Event) -> None:
    """A test run that was killed leaves no writers behind."""
    parent = multiprocessing.parent_process()
    while not stop.wait(0.5):
        if parent is None or not parent.is_alive():
            os._exit(1)


def drain(pods: Pods, stop: threading.Event) -> None:
    while pods.mine and not stop.is_set():
        container = pods.mine.pop()
        try:
            pods.end(container)
        except FelixPyError:
            time.sleep(0.05)
