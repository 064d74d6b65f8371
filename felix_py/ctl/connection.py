"""felixctl's own configuration: the node's file and environment, as the daemons read them."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from felix_py.ctl.remote import DEFAULT_SECONDS, Remote
from felix_py.datastore.etcd_store import EtcdStore
from felix_py.datastore.settings import DatastoreSettings
from felix_py.datastore.store import Store
from felix_py.runtime.settings import DEFAULT_FILE, NodeSettings, load


class OtherNodes(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """The `ctl` section: how felixctl runs itself on another node (remote.py)."""

    via: str = ""
    """A command such as "ssh {node}" or "ssh root@{address}"; empty: other nodes are not asked."""
    timeout_seconds: float = DEFAULT_SECONDS
    """The bound of each question."""


class CtlSettings(msgspec.Struct, frozen=True):
    """The sections that felixctl reads."""

    node: NodeSettings = NodeSettings()
    datastore: DatastoreSettings = DatastoreSettings()
    ctl: OtherNodes = OtherNodes()


class Session:
    """What every verb starts from: the settings, and the store when it is needed."""

    def __init__(self, config: Path = DEFAULT_FILE) -> None:
        self._config = config

    def settings(self) -> CtlSettings:
        """Read the file and the environment. Raises BadSettings."""
        return load(CtlSettings, self._config, os.environ)

    @contextmanager
    def store(self) -> Iterator[Store]:
        """The datastore for the length of a command."""
        store = EtcdStore.connect(self.settings().datastore)
        try:
            yield store
        finally:
            store.close()

    def remote(self, via: str = "") -> Remote:
        """The way to other nodes: as the command line says, else as the settings do."""
        others = self.settings().ctl
        return Remote(via or others.via, others.timeout_seconds)

    def node_name(self) -> str:
        """This node's name, without fixing it: as configured, as kept, else the host's."""
        node = self.settings().node
        kept = Path(node.state_dir) / "nodename"
        if node.name:
            return node.name
        try:
            return kept.read_text("utf-8").strip() or socket.gethostname().lower()
        except OSError:
            return socket.gethostname().lower()
