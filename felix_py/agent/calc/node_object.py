"""Pure: what of the Node object felix writes, and what it leaves to whoever wrote it before.

Felix owns `spec.bgp.ipv4Address`, `ipv6Address` while it found them itself, the CalicoNodeIP
entries of `spec.addresses`, the tunnel addresses, the Kubernetes entry of `spec.orchRefs` where it
was told one, and its annotation. AS number, labels and whatever else stands there are kept.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from ipaddress import ip_interface

from felix_py.agent.calc.node_address import AUTO, NONE, Detection, Recorded
from felix_py.datastore.model import KUBERNETES, IPAddress, IPInterface, Node, NodeName, Stored

ANNOTATION = "felix-py.io/address-detection"
FIELDS = {4: "ipv4Address", 6: "ipv6Address"}
NODE_IP = "CalicoNodeIP"
IPIP_FIELD = "ipv4IPIPTunnelAddr"
VXLAN_FIELDS = {
    4: ("ipv4VXLANTunnelAddr", "vxlanTunnelMACAddr"),
    6: ("ipv6VXLANTunnelAddr", "vxlanTunnelMACAddrV6"),
}


@dataclass(frozen=True, slots=True)
class AddressWish:
    """One family's detection, and the configured method that led to it."""

    method: str
    detection: Detection


@dataclass(frozen=True, slots=True)
class Published:
    """The tunnels at which others may send to this node: device, address and the set of admitted
    senders stand. `vxlan` by IP version: the VTEP's address and MAC."""

    ipip: IPAddress | None = None
    vxlan: Mapping[int, tuple[IPAddress, str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class NodePlan:
    """The Node's `spec.bgp`, `spec.addresses`, VXLAN fields (None: to be absent) and our annotation as
    they should be."""

    bgp: Mapping[str, object]
    addresses: tuple[Mapping[str, object], ...]
    annotation: str
    warnings: tuple[str, ...] = field(default=())
    vxlan: Mapping[str, str | None] = field(default_factory=dict)


def recorded_in(annotations: Mapping[str, str], version: int) -> Recorded | None:
    """What an earlier detection left in the annotation; None when nothing usable is there."""
    entry = _entries(annotations).get(f"ipv{version}")
    if not isinstance(entry, dict):
        return None
    address, method = entry.get("address"), entry.get("method")
    if not isinstance(address, str) or not isinstance(method, str):
        return None
    try:
        interface = ip_interface(address)
    except ValueError:
        return None
    if interface.version != version:
        return None
    return Recorded(interface, method, str(entry.get("found", "")), entry.get("steady") is True)


def holder_of(
    interface: IPInterface, me: NodeName, nodes: Mapping[NodeName, Stored[Node]]
) -> NodeName | None:
    """Another node whose BGP address this is; the first by name."""
    return min(
        (
            name
            for name, stored in nodes.items()
            if name != me
            and any(
                other is not None and other.ip == interface.ip
                for other in (stored.value.ipv4_address, stored.value.ipv6_address)
            )
        ),
        default=None,
    )


def plan(
    spec: Mapping[str, object],
    annotations: Mapping[str, str],
    wishes: Mapping[int, AddressWish],
    holders: Mapping[int, NodeName],
) -> NodePlan:
    """The Node as it should be, from its present spec and annotations (empty: no such Node yet).

    wishes by IP version; holders: the other node that already has the address a wish found.
    """
    present = spec.get("bgp")
    bgp: dict[str, object] = dict(present) if isinstance(present, dict) else {}
    entries = _entries(annotations)
    warnings: list[str] = []
    for version, wish in sorted(wishes.items()):
        warnings += _settle(version, wish, holders.get(version), bgp, entries)
    kept = spec.get("addresses")
    others = [a for a in kept if isinstance(a, dict)] if isinstance(kept, list) else []
    mine = [
        {"address": text, "type": NODE_IP}
        for name in FIELDS.values()
        if isinstance(text := bgp.get(name), str)
    ]
    addresses = (*mine, *(a for a in others if a.get("type") != NODE_IP))
    return NodePlan(bgp, addresses, json.dumps(entries, sort_keys=True), tuple(warnings))


def publish(wanted: NodePlan, published: Published) -> NodePlan:
    """The plan with the tunnels that stand; those that do not are taken out of the Node."""
    bgp = {name: value for name, value in wanted.bgp.items() if name != IPIP_FIELD}
    if published.ipip is not None:
        bgp[IPIP_FIELD] = str(published.ipip)
    vxlan: dict[str, str | None] = {}
    for version, (address_field, mac_field) in VXLAN_FIELDS.items():
        address, mac = published.vxlan.get(version, (None, None))
        vxlan[address_field] = None if address is None else str(address)
        vxlan[mac_field] = mac
    return replace(wanted, bgp=bgp, vxlan=vxlan)


def orch_refs(spec: Mapping[str, object], kubernetes_node: str) -> list[object] | None:
    """`spec.orchRefs` that name this node of Kubernetes; other orchestrators' entries stay.

    Without a name (this daemon was told of no Kubernetes) all stays; None: to be absent.
    """
    present = spec.get("orchRefs")
    entries = present if isinstance(present, list) else []
    if not kubernetes_node:
        return entries or None
    others = [
        each
        for each in entries
        if not isinstance(each, dict) or each.get("orchestrator") != KUBERNETES
    ]
    return [*others, {"nodeName": kubernetes_node, "orchestrator": KUBERNETES}]


def _settle(
    version: int,
    wish: AddressWish,
    holder: NodeName | None,
    bgp: dict[str, object],
    entries: dict[str, object],
) -> list[str]:
    """Decide one family in place; what people should know."""
    name, label = FIELDS[version], f"ipv{version}"
    standing = bgp.get(name)
    ours = recorded_in({ANNOTATION: json.dumps(entries)}, version)
    set_by_us = ours is not None and str(ours.interface) == standing
    found = wish.detection
    warnings = [found.warning] if found.warning else []
    if wish.method == NONE:
        if set_by_us:
            bgp.pop(name, None)
        entries.pop(label, None)
        return warnings
    if found.interface is None:
        return warnings
    text = str(found.interface)
    if holder is not None:
        warnings.append(
            f"node {holder} already has the address {found.interface.ip}; two nodes cannot share "
            f"one: set felix.{name} here or correct that Node"
        )
        if standing != text:
            return warnings
    if wish.method == AUTO and standing is not None and not set_by_us:
        entries.pop(label, None)
        return warnings + _by_hand(name, standing, found.how, text)
    bgp[name] = text
    entries[label] = {
        "address": text,
        "method": wish.method,
        "found": found.how,
        "steady": found.steady,
    }
    return warnings


def _by_hand(name: str, standing: object, how: str, text: str) -> list[str]:
    if standing == text:
        return []
    return [
        (
            f"spec.bgp.{name} is {standing}, set by hand, but {how} gives {text}; "
            f"set felix.{name} to settle it"
        )
    ]


def _entries(annotations: Mapping[str, str]) -> dict[str, object]:
    try:
        loaded = json.loads(annotations.get(ANNOTATION, "{}"))
    except ValueError:
        return {}
    return dict(loaded) if isinstance(loaded, dict) else {}
