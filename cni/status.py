"""What the CNI server says of itself: as a file, in etcd, and to STATUS."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from cni.attachments import Attachments
from felix_py.datastore.changes import CONCERN, NOT_YET, Change, StoreState, StoreStateKey
from felix_py.datastore.keys import Key, SessionKey
from felix_py.datastore.status_document import Identity, head, invalid_objects
from felix_py.runtime import status_file
from felix_py.runtime.health import Health
from felix_py.runtime.mailbox import Mailbox

DAEMON = "cni"
PERIOD_SECONDS = 1.0

REPORTER_SECONDS, ALLOCATOR_SECONDS = 60.0, 60.0
"""Whoever did not come round for so long hangs: every call that they make to etcd ends before that."""

ALLOCATOR = "allocator"
NOT_READ = "this node's session key in etcd is not read yet"


class Concern(Protocol):
    """Something else that people want to see in the status."""

    name: str

    def report(self) -> Mapping[str, object]:
        """Shown under the name."""
        ...

    def warnings(self) -> list[str]:
        """What somebody must act on."""
        ...


class ObservedMailbox(Mailbox[Key | StoreStateKey, Change | StoreState]):
    """The allocator's mailbox, which also remembers for others how the store stands."""

    def __init__(self, health: Health) -> None:
        super().__init__()
        self._health = health
        self.store_state: StoreState = NOT_YET
        """Replaced whole, so readers need no lock."""
        self.invalid: dict[str, str] = {}

    def put(self, key: Key | StoreStateKey, value: Change | StoreState) -> None:
        """As Mailbox.put; the store's state and invalid objects are noted on the way."""
        if isinstance(value, StoreState):
            self.store_state = value
        elif isinstance(key, SessionKey):
            return  # watched so that the syncer knows our own newest write; of no use to IPAM
        elif not isinstance(key, StoreStateKey):
            self._note(key, value)
        super().put(key, value)

    def take_all(self, timeout_seconds: float) -> dict[Key | StoreStateKey, Change | StoreState]:
        """As Mailbox.take_all; its one reader, the allocator, is alive when it comes here."""
        self._health.beat(ALLOCATOR, ALLOCATOR_SECONDS)
        return super().take_all(timeout_seconds)

    def trusts_store(self) -> bool:
        """Whether the store was read and may be acted on."""
        return self.store_state.may_act

    def _note(self, key: Key, change: Change) -> None:
        invalid = dict(self.invalid)
        invalid.pop(key.path, None)
        if change.invalid is not None:
            invalid[key.path] = change.invalid.reason
        self.invalid = invalid


@dataclass(slots=True)
class Reporter:
    """Writes the status once a second when it changed; the file works with etcd away."""

    attachments: Attachments
    mailbox: ObservedMailbox
    allocator_status: Callable[[], Mapping[str, Any]]
    publish: Callable[[Mapping[str, object]], None]
    run_dir: str
    health: Health
    concerns: list[Concern] = field(default_factory=list)
    kubernetes: Callable[[], str | None] = lambda: None
    """Why pods are not known; None: they are, or there is no Kubernetes."""
    fence_problem: str | None = NOT_READ
    _identity: Identity = field(init=False)
    _written: dict[str, object] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        node, now = self.attachments.node, self.attachments.clock.wall()
        self._identity = Identity.of_this_process(DAEMON, node, now)

    def run(self, stop: threading.Event) -> None:
        """Until asked to stop."""
        while not stop.is_set():
            self.step()
            stop.wait(PERIOD_SECONDS)

    def step(self) -> None:
        """Write the file if it changed and let the board decide about etcd."""
        self.health.beat("reporter", REPORTER_SECONDS)
        self._say_ready()
        document = self.document()
        if document != self._written:
            status_file.write(self.run_dir, DAEMON, document)
            self._written = document
        self.publish(_for_everybody(document))

    def note_fence(self, problem: str | None) -> None:
        """Why this process is not this node's writer; None: it is."""
        self.fence_problem = problem

    def why_not(self) -> str | None:
        """Why ADD cannot be served at the moment; None: it can."""
        state = self.mailbox.store_state
        if state.frozen is not None:
            return f"address decisions are frozen: {state.frozen}"
        if self.fence_problem is not None:
            return self.fence_problem
        if not state.in_sync or not state.connected:
            return 'etcd is away; ADD is answered with "try again later"'
        return None

    def why_not_at_first(self) -> str | None:
        """Why the runtime should not be told of the network yet; None: it may."""
        return self.why_not() or self.kubernetes()

    def document(self) -> dict[str, object]:
        """Everything that people and felixctl look at."""
        state = self.mailbox.store_state
        reason, allocator = self.why_not(), dict(self.allocator_status())
        unregistered = [str(each) for each in allocator.get("unregistered", ())]
        tunnels = [f"no tunnel address: {each}" for each in allocator.get("noTunnelAddress", ())]
        return {
            **head(self._identity, state),
            "invalid": invalid_objects(self.mailbox.invalid),
            "warnings": [
                *([] if reason is None else [reason]),
                *unregistered,
                *tunnels,
                *(warning for each in self.concerns for warning in each.warnings()),
            ],
            "attachments": len(self.attachments.records),
            "pendingDels": len(self.attachments.pending),
            "ipam": allocator,
            **{each.name: each.report() for each in self.concerns},
        }

    def _say_ready(self) -> None:
        """A node is ready while ADD can be served; etcd's trouble is told in etcd's own words."""
        trouble = self.mailbox.store_state.trouble
        self.health.note(CONCERN, trouble)
        self.health.note(DAEMON, None if trouble else self.why_not())
        self.health.note("kubernetes", self.kubernetes())


def _for_everybody(document: Mapping[str, object]) -> dict[str, object]:
    """What goes to etcd: without the revision, which every node's status would raise for all others."""
    store = document["store"]
    assert isinstance(store, dict)
    return {
        **document,
        "store": {name: value for name, value in store.items() if name != "revision"},
    }
