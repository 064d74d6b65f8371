"""The `controllers` section of the configuration, and all sections that the controllers read."""

from __future__ import annotations

import msgspec

from felix_py.datastore.settings import DatastoreSettings
from felix_py.kube_api.settings import KubernetesSettings
from felix_py.runtime.logs import LogSettings
from felix_py.runtime.settings import NodeSettings


class ControllersSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """How long the dead are waited for, and where this process is asked how it is."""

    namespace: str = "felix-py"
    """Where the Lease lies."""
    identity: str = ""
    """Who holds it, another one for each process; empty: the host's name."""
    node_grace_seconds: float = 60.0
    """A deleted node keeps what it holds for so long; then a direct read must confirm that it is gone."""
    quarantine_seconds: float = 900.0
    """A pod that is gone while its node did not say so keeps its address for so long."""
    health_address: str = "127.0.0.1"
    """Where liveness and readiness are asked for by HTTP."""
    health_port: int = 0
    """0: nobody is answered."""


class ControllersSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """Every section this process reads."""

    node: NodeSettings = NodeSettings()
    datastore: DatastoreSettings = DatastoreSettings()
    log: LogSettings = LogSettings()
    kubernetes: KubernetesSettings = KubernetesSettings()
    controllers: ControllersSection = ControllersSection()
