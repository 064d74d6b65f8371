"""The `install` section, and all sections that the installation reads."""

from __future__ import annotations

from typing import Literal

import msgspec

from felix_py.datastore.settings import DatastoreSettings
from felix_py.kube_api.settings import KubernetesSettings
from felix_py.runtime.logs import LogSettings


class InstallSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """What the manifest says to the Job; what people edit is in the ConfigMap."""

    namespace: str = "felix-py"
    config_map: str = "felix-py-config"
    etcd: Literal["inside", "existing"] = "inside"
    """inside: certificates, a node and users for the etcd that the manifest brings."""
    wait_seconds: float = 900.0
    """How long the API server and etcd are waited for; then the Job's pod ends and is started again."""


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Every section that is read."""

    install: InstallSettings = InstallSettings()
    datastore: DatastoreSettings = DatastoreSettings()
    kubernetes: KubernetesSettings = KubernetesSettings()
    log: LogSettings = LogSettings()
