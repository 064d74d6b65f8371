"""FelixConfiguration: stored JSON to a frozen value.

Rules: Calico v3.32.1 `api/pkg/apis/projectcalico/v3/felixconfig.go` (patterns of its fields) and
`libcalico-go/lib/validator/v3`.
"""

from __future__ import annotations

import re

import msgspec

from felix_py.datastore import codec_fields as fields
from felix_py.datastore.codec_fields import BadField
from felix_py.datastore.codec_json import loads
from felix_py.datastore.codec_resources import Resource, metadata
from felix_py.datastore.felix_configuration import DEFAULT, NODE_PREFIX, FelixConfiguration
from felix_py.datastore.keys import ResourceKey
from felix_py.datastore.model import IPNetwork

_PORT_RANGE = re.compile(r"([0-9]{1,5}):([0-9]{1,5})", re.ASCII)
_INTERFACES = re.compile(r"[a-zA-Z0-9_.-]{1,14}\+|[a-zA-Z0-9_.-]{1,15}")
_MAX_VNI = 2**24 - 1
_MIN_MTU, _MAX_MTU = 576, 65535


class _Felix(msgspec.Struct, rename="camel"):
    node_selector: str | None = None
    ipip_enabled: bool | None = None
    vxlan_enabled: bool | None = None
    ipip_mtu: int | None = msgspec.field(default=None, name="ipipMTU")
    vxlan_mtu: int | None = msgspec.field(default=None, name="vxlanMTU")
    vxlan_mtu_v6: int | None = msgspec.field(default=None, name="vxlanMTUV6")
    vxlan_port: int | None = None
    vxlan_vni: int | None = msgspec.field(default=None, name="vxlanVNI")
    mtu_iface_pattern: str | None = None
    program_cluster_routes: str | None = None
    external_nodes_list: list[str] | None = None
    allow_ipip: bool | None = msgspec.field(default=None, name="allowIPIPPacketsFromWorkloads")
    allow_vxlan: bool | None = msgspec.field(default=None, name="allowVXLANPacketsFromWorkloads")
    nat_outgoing_address: str | None = None
    nat_outgoing_exclusions: str | None = None
    nat_port_range: str | int | None = None
    nat_interfaces: str | None = msgspec.field(
        default=None, name="iptablesNATOutgoingInterfaceFilter"
    )
    workload_source_spoofing: str | None = None
    floating_ips: str | None = msgspec.field(default=None, name="floatingIPs")
    ipv6_support: bool | None = None


_FELIX = msgspec.json.Decoder(Resource[_Felix])


def decode_felix_configuration(key: ResourceKey, raw: bytes) -> FelixConfiguration:
    """What one object sets. Raises BadField."""
    wire = loads(raw, _FELIX)
    spec = wire.spec or _Felix()
    selector = fields.selector("spec.nodeSelector", spec.node_selector or "")
    if not selector and key.name != DEFAULT and not key.name.startswith(NODE_PREFIX):
        problem = "is missing; this name needs one, or call it default or node.<node's name>"
        raise BadField("spec.nodeSelector", problem)
    nat = spec.nat_outgoing_address
    return FelixConfiguration(
        meta=metadata(key, wire),
        node_selector=selector,
        ipip_enabled=spec.ipip_enabled,
        vxlan_enabled=spec.vxlan_enabled,
        ipip_mtu=_mtu("spec.ipipMTU", spec.ipip_mtu),
        vxlan_mtu=_mtu("spec.vxlanMTU", spec.vxlan_mtu),
        vxlan_mtu_v6=_mtu("spec.vxlanMTUV6", spec.vxlan_mtu_v6),
        vxlan_port=_number("spec.vxlanPort", spec.vxlan_port, 1, 65535),
        vxlan_vni=_number("spec.vxlanVNI", spec.vxlan_vni, 1, _MAX_VNI),
        mtu_interface_pattern=_pattern("spec.mtuIfacePattern", spec.mtu_iface_pattern),
        program_cluster_routes=_switch("spec.programClusterRoutes", spec.program_cluster_routes),
        external_nodes=_networks("spec.externalNodesList", spec.external_nodes_list),
        allow_ipip_from_workloads=spec.allow_ipip,
        allow_vxlan_from_workloads=spec.allow_vxlan,
        nat_outgoing_address=fields.address("spec.natOutgoingAddress", nat) if nat else None,
        nat_outgoing_spares_hosts=_word(
            "spec.natOutgoingExclusions",
            spec.nat_outgoing_exclusions,
            ("IPPoolsOnly", "IPPoolsAndHostIPs"),
        ),
        nat_port_range=_port_range("spec.natPortRange", spec.nat_port_range),
        nat_outgoing_interfaces=_interfaces(spec.nat_interfaces),
        any_source_spoofing=_word(
            "spec.workloadSourceSpoofing", spec.workload_source_spoofing, ("Disabled", "Any")
        ),
        floating_ips=_switch("spec.floatingIPs", spec.floating_ips),
        ipv6_support=spec.ipv6_support,
    )


def _word(field: str, text: str | None, words: tuple[str, str]) -> bool | None:
    """Whether the second of two words stands there; absent: None."""
    return None if not text else fields.one_of(field, text, words) == words[1]


def _switch(field: str, text: str | None) -> bool | None:
    return _word(field, text, ("Disabled", "Enabled"))


def _number(field: str, number: int | None, lowest: int, highest: int) -> int | None:
    return None if number is None else fields.in_range(field, number, lowest, highest)


def _mtu(field: str, number: int | None) -> int | None:
    """An MTU; 0 means: found from the host's links."""
    return _number(field, number or None, _MIN_MTU, _MAX_MTU)


def _networks(field: str, texts: list[str] | None) -> tuple[IPNetwork, ...] | None:
    if texts is None:
        return None
    return tuple(fields.network(f"{field}[{n}]", text) for n, text in enumerate(texts))


def _pattern(field: str, text: str | None) -> str | None:
    if not text:
        return None
    try:
        re.compile(text)
    except re.error as error:
        raise BadField(field, f"{text!r} is not a regular expression: {error}") from None
    return text


def _port_range(field: str, value: str | int | None) -> tuple[int, int] | None:
    """`low:high`, or one port (numorstring.Port); a number and 0 are one port and none."""
    if value in {None, "", 0}:
        return None
    text = f"{value}:{value}" if str(value).isdigit() else str(value)
    match = _PORT_RANGE.fullmatch(text)
    low, high = (int(match[1]), int(match[2])) if match else (0, 0)
    if not 1 <= low <= high <= 65535:
        raise BadField(field, f"{value!r} is not a port range; write it as 32768:65535")
    return low, high


def _interfaces(text: str | None) -> str | None:
    if text and not _INTERFACES.fullmatch(text):
        problem = f"{text!r} is not an interface name; write it as eth0 or eth+"
        raise BadField("spec.iptablesNATOutgoingInterfaceFilter", problem)
    return text or None
