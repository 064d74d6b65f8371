"""Pure: the network's configuration list as a runtime reads it, and whose list stands at our name."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from enum import Enum

from cni.netconf import SUPPORTED_VERSIONS
from cni.settings import CniSettings

PLUGIN_NAME = "felix-py"
CONFLIST_NAME = "10-felix-py.conflist"

MARK_FIELD, MARK = "writtenBy", "felix-cni"
"""A field of the list that runtimes pass over (libcni reads the ones it knows)."""

RUNTIME_SUFFIXES = (".conf", ".conflist", ".json")
"""What containerd and CRI-O take for a network; the first name in byte order is the pods'."""


class Whose(Enum):
    """What stands at our name."""

    OURS = "ours"
    """It carries our mark: kept up to date, and removed by `felix-cni uninstall`."""
    OPERATORS = "operators"
    """No mark, but our plugin comes first: somebody's own list for us. Left as it is."""
    FOREIGN = "foreign"
    """Another network's, or not readable as a list: never touched."""


def render(settings: CniSettings, present: Collection[str], *, shapes: bool = False) -> str:
    """Our plugin, followed by portmap and bandwidth where the host has them (`present`).

    shapes: bandwidth is felix's affair (it has the pod's annotations); two would limit one pod.
    """
    ipam = {"type": PLUGIN_NAME}
    if not settings.assign_ipv4:
        ipam["assign_ipv4"] = "false"
    if settings.assign_ipv6:
        ipam["assign_ipv6"] = "true"
    plugins: list[dict[str, object]] = [
        {"type": PLUGIN_NAME, "ipam": ipam, "policy": {"type": "k8s"}}
    ]
    allowed = {
        "ip_addrs_no_ipam": settings.ip_addrs_no_ipam,
        "floating_ips": settings.floating_ips,
    }
    if any(allowed.values()):
        plugins[0]["feature_control"] = {name: True for name, on in allowed.items() if on}
    if "portmap" in present:
        plugins.append({"type": "portmap", "snat": True, "capabilities": {"portMappings": True}})
    if "bandwidth" in present and not shapes:
        plugins.append({"type": "bandwidth", "capabilities": {"bandwidth": True}})
    network = {
        "cniVersion": SUPPORTED_VERSIONS[-1],
        "name": settings.network_name,
        MARK_FIELD: MARK,
        "plugins": plugins,
    }
    return json.dumps(network, indent=2) + "\n"


def whose(text: bytes) -> Whose:
    """Who wrote the list."""
    try:
        found = json.loads(text)
    except ValueError:
        return Whose.FOREIGN
    if not isinstance(found, dict):
        return Whose.FOREIGN
    if found.get(MARK_FIELD) == MARK:
        return Whose.OURS
    plugins = found.get("plugins")
    first = plugins[0] if isinstance(plugins, list) and plugins else None
    ours = isinstance(first, dict) and first.get("type") == PLUGIN_NAME
    return Whose.OPERATORS if ours else Whose.FOREIGN


def networks(names: Iterable[str]) -> list[str]:
    """The file names that a runtime takes for networks, in its order."""
    return sorted(name for name in names if name.endswith(RUNTIME_SUFFIXES))
