"""Pure: whose tunnelled packets this node unpacks: those of known nodes, and of externalNodesList.

A tunnel's device takes packets from anybody. Calico v3.32 `felix/rules/static.go` (`filterInputChain`):
protocol 4 and the VXLAN port of this host, accepted from the set alone, while such a tunnel is in use.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from felix_py.agent.calc.nft_text import (
    ADDRESS_TYPE,
    IP,
    VERSIONS,
    NamedSets,
    chain,
    ranges,
    set_of,
)
from felix_py.agent.snapshot import Snapshot
from felix_py.datastore.felix_configuration import DEFAULT_VXLAN_PORT
from felix_py.datastore.model import EncapMode, IPNetwork, IPPool
from felix_py.kernel.ownership import IPIP_LINK, VXLAN_LINKS


@dataclass(frozen=True, slots=True)
class Tunnels:
    """The tunnels whose senders are looked at."""

    ipip: bool = False
    vxlan: frozenset[int] = frozenset()
    """IP versions of the underlay."""

    @property
    def any(self) -> bool:
        """True when there is a tunnel at all."""
        return self.ipip or bool(self.vxlan)


def tunnels(snapshot: Snapshot) -> Tunnels:
    """Those that a pool asks for, and those whose device is still there and up, asked for or not."""
    pools = list(snapshot.pools.values())
    up = {name for name, link in snapshot.links.items() if link.up}
    return Tunnels(
        IPIP_LINK in up or any(pool.ipip_mode is not EncapMode.NEVER for pool in pools),
        frozenset(
            version
            for version in VERSIONS
            if VXLAN_LINKS[version] in up or any(_is_vxlan(pool, version) for pool in pools)
        ),
    )


def _is_vxlan(pool: IPPool, version: int) -> bool:
    return pool.cidr.version == version and pool.vxlan_mode is not EncapMode.NEVER


def sets(nodes: Mapping[int, frozenset[str]], external: Iterable[IPNetwork]) -> NamedSets:
    """Nodes' addresses and the others', by version: declaration and elements, by name."""
    found: dict[str, tuple[str, frozenset[str]]] = {}
    external = tuple(external)
    for version in VERSIONS:
        kind = f"type {ADDRESS_TYPE[version]}"
        found[f"nodes{version}"] = set_of(f"nodes{version}", kind), nodes[version]
        name = f"external{version}"
        found[name] = set_of(name, kind, interval=True), ranges(external, version)
    return found


def chains(wanted: Tunnels, vxlan_port: int | None) -> str:
    """At the host's own door, before a device unpacks. Only drops: what else the host lets in is its
    administrator's affair."""
    if not wanted.any:
        return ""
    rules = []
    if wanted.ipip:
        rules.append(f"meta nfproto ipv4 meta l4proto ipencap {_strangers(4)} counter drop")
    rules += [
        f"meta nfproto ipv{version} udp dport {vxlan_port or DEFAULT_VXLAN_PORT} "
        f"{_strangers(version)} counter drop"
        for version in sorted(wanted.vxlan)
    ]
    return chain("input", "type filter hook input priority filter; policy accept;", *rules)


def _strangers(version: int) -> str:
    source = f"{IP[version]} saddr"
    return f"{source} != @nodes{version} {source} != @external{version}"
