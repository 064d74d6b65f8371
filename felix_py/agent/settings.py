"""felix's own part of the configuration."""

from __future__ import annotations

import msgspec

from felix_py.agent.calc import node_address
from felix_py.datastore.settings import DatastoreSettings
from felix_py.runtime.logs import LogSettings
from felix_py.runtime.settings import BadSettings, NodeSettings


class FelixSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """The `felix` section."""

    ipv4_address: str = node_address.AUTO
    """This node's IPv4 address: auto (the default route's source), none, an address with or without
    prefix, cidr=A/L[,..], interface=PATTERN[,..], can-reach=A."""
    ipv6_address: str = node_address.NONE
    """The same for IPv6; Calico's default is none, too."""
    kubernetes_node: str = ""
    """This node's name in Kubernetes, for the Node's orchRefs, as CALICO_K8S_NODE_REF; empty: none."""
    metrics_address: str = "127.0.0.1"
    """Where Prometheus metrics are served."""
    metrics_port: int = 0
    """The port of that; 0: not served."""
    health_address: str = "127.0.0.1"
    """Where liveness and readiness are asked for by HTTP."""
    health_port: int = 0
    """0: nobody is answered."""


class AgentSettings(msgspec.Struct, frozen=True):
    """The sections that felix reads."""

    node: NodeSettings = NodeSettings()
    datastore: DatastoreSettings = DatastoreSettings()
    log: LogSettings = LogSettings()
    felix: FelixSettings = FelixSettings()


def methods(settings: FelixSettings) -> dict[int, str]:
    """How each family's address is found. Raises BadSettings, naming the field."""
    found = {4: settings.ipv4_address, 6: settings.ipv6_address}
    for version, method in found.items():
        try:
            node_address.check(method, version)
        except node_address.BadMethod as error:
            raise BadSettings(str(error)) from error
    return found
