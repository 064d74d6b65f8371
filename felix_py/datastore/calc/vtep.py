"""Pure: the MAC of a node's end of a VXLAN."""

from __future__ import annotations

import hashlib

from felix_py.datastore.model import Node


def mac_of(node: Node, version: int) -> str:
    """What the Node object says, else what Calico derives of the name."""
    said = node.vxlan_tunnel_mac if version == 4 else node.vxlan_tunnel_mac_v6
    return said.lower() or derived_mac(node.name, version)


def derived_mac(node: str, version: int) -> str:
    """0x66 and the first five bytes of a SHA-1 over the name (Calico's felix/calc/vxlan_resolver.go)."""
    name = node if version == 4 else f"{node}-v6"
    digest = hashlib.sha1(name.encode(), usedforsecurity=False).digest()
    return (b"\x66" + digest[:5]).hex(":")
