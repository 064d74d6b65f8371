"""The `bgp` section of the configuration, and all sections the BGP agent reads."""

from __future__ import annotations

from ipaddress import ip_network

import msgspec

from bgp.calc.terms import Policy
from felix_py.datastore.settings import DatastoreSettings
from felix_py.runtime.logs import LogSettings
from felix_py.runtime.settings import BadSettings, NodeSettings


class BgpSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """How this node's BGP agent works. What peers there are is in etcd."""

    prefix_limit: int = 50000
    """Prefixes one peer may announce; of more the numerically first so many are used."""
    multipath: bool = True
    """Equal paths become one route with several next hops."""
    accept_default_route: bool = False
    """Install a default route that a peer announces."""
    allowed_ranges: list[str] = []
    """Ranges outside the pools in which routes are learned too."""
    secrets_dir: str = "/etc/felix-py/secrets"
    """Passwords: secretKeyRef name and key are read from <secretsDir>/<name>/<key>."""
    python: str = ""
    """The interpreter that ExaBGP's user runs the relay with; empty: the agent's own."""
    keep_routes_seconds: float = 120.0
    """After a start: how long routes found in the kernel wait for peers that are not heard yet."""
    metrics_address: str = "127.0.0.1"
    """Where metrics are served."""
    metrics_port: int = 0
    """0: not served."""
    health_address: str = "127.0.0.1"
    """Where liveness and readiness are asked for by HTTP."""
    health_port: int = 0
    """0: nobody is answered."""

    def policy(self) -> Policy:
        """The part that decides on learned routes. Raises BadSettings."""
        try:
            ranges = tuple(ip_network(text) for text in self.allowed_ranges)
        except ValueError as error:
            raise BadSettings(f"bgp.allowedRanges: {error}") from error
        return Policy(self.multipath, self.accept_default_route, ranges)


class AgentSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """Every section this daemon reads."""

    node: NodeSettings = NodeSettings()
    datastore: DatastoreSettings = DatastoreSettings()
    log: LogSettings = LogSettings()
    bgp: BgpSettings = BgpSettings()
