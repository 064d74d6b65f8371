"""Pure: what BGPConfiguration `default` and `node.<name>` say together for one node.

Which fields a per-node object may set is Calico v3.32's (api/bgpconfig.go and confd): the listen port
and the prefix advertisements, which replace the global ones; everything else is global.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from felix_py.datastore.model import DEFAULT_AS_NUMBER, AsNumber, Node, NodeName
from felix_py.datastore.model_bgp import BGPConfiguration, PrefixAdvertisement

DEFAULT_PORT = 179


@dataclass(frozen=True, slots=True)
class Effective:
    """The settings that hold for one node, with Calico's defaults filled in."""

    mesh_enabled: bool = True
    as_number: AsNumber = DEFAULT_AS_NUMBER
    """Of nodes that have none of their own."""
    listen_port: int = DEFAULT_PORT
    mesh_max_restart_seconds: int | None = None
    mesh_password_secret: tuple[str, str] | None = None
    prefix_advertisements: tuple[PrefixAdvertisement, ...] = ()


def effective(configurations: Mapping[str, BGPConfiguration], node: NodeName) -> Effective:
    """What holds for this node."""
    default = configurations.get("default")
    own = configurations.get(f"node.{node}")
    advertisements = own.prefix_advertisements if own is not None else None
    if default is None:
        return Effective(
            listen_port=(own.listen_port if own is not None else None) or DEFAULT_PORT,
            prefix_advertisements=advertisements or (),
        )
    if advertisements is None:
        advertisements = default.prefix_advertisements
    return Effective(
        mesh_enabled=default.mesh_enabled is not False,
        as_number=DEFAULT_AS_NUMBER if default.as_number is None else default.as_number,
        listen_port=(own.listen_port if own is not None else None)
        or default.listen_port
        or DEFAULT_PORT,
        mesh_max_restart_seconds=default.mesh_max_restart_seconds,
        mesh_password_secret=default.mesh_password_secret,
        prefix_advertisements=advertisements or (),
    )


def as_of(node: Node, configuration: Effective) -> AsNumber:
    """A node's AS number: its own, else the cluster's."""
    return configuration.as_number if node.as_number is None else node.as_number
