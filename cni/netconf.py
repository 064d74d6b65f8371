"""Pure: the network configuration on standard input -> NetConf.

Calico's field names where there are such (Calico v3.32 `cni-plugin/pkg/types/types.go`). Fields
that we do not know are passed over, as the specification asks; fields that we know and do not
serve are refused by name, because ignoring them would give a pod another network than it asked for.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_interface
from typing import Any, Literal

import msgspec

from cni.errors import BadNetworkConfig, IncompatibleVersion, NotDecoded, UnsupportedField
from felix_py.datastore.model import IPAddress

SUPPORTED_VERSIONS = ("0.3.1", "0.4.0", "1.0.0")
IPAM_TYPES = frozenset({"", "felix-py", "calico-ipam"})
MIN_MTU, MAX_MTU = 576, 65535
"""RFC 791: every host takes datagrams of 576 octets; the kernel's veth goes up to 65535."""

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]*")
LABEL_KEY = re.compile(r"[a-zA-Z0-9_./-]{1,512}")
LABEL_VALUE = re.compile(r"([a-zA-Z0-9]([a-zA-Z0-9_.-]{0,61}[a-zA-Z0-9])?)?")
"""Calico v3.32 `libcalico-go/lib/validator/v3/validator.go` (labelRegex, labelValueRegex)."""
MAX_LABELS = 64
"""An endpoint is a value of etcd and is written together with others'; more labels are refused."""

MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")


class IpamConf(msgspec.Struct, frozen=True):
    """The `ipam` object; the booleans are strings, as Calico's."""

    type: str = ""
    ipv4_pools: list[str] = []
    ipv6_pools: list[str] = []
    assign_ipv4: Literal["true", "false"] = "true"
    assign_ipv6: Literal["true", "false"] = "false"


class Label(msgspec.Struct, frozen=True):
    """One label of `args.cni.labels`."""

    key: str
    value: str


class CniArgs(msgspec.Struct, frozen=True):
    """`args.cni`: what the conventions document of CNI defines."""

    ips: list[str] = []
    mac: str = ""
    labels: list[Label] = []


class Args(msgspec.Struct, frozen=True):
    """The `args` object."""

    cni: CniArgs = CniArgs()


class RuntimeConf(msgspec.Struct, frozen=True):
    """`runtimeConfig`: capabilities `ips` and `mac`; portMappings and bandwidth are others' work."""

    ips: list[str] = []
    mac: str = ""


class Policy(msgspec.Struct, frozen=True):
    """`policy`: type `k8s` takes the profiles of Kubernetes' namespaces."""

    type: Literal["", "k8s"] = ""


class FeatureControl(msgspec.Struct, frozen=True):
    """`feature_control`: what pods may ask for by annotation."""

    ip_addrs_no_ipam: bool = False
    floating_ips: bool = False


class Dns(msgspec.Struct, frozen=True, omit_defaults=True):
    """`dns`: given to the runtime in the result."""

    nameservers: list[str] = []
    domain: str = ""
    search: list[str] = []
    options: list[str] = []


class _Raw(msgspec.Struct, frozen=True, rename={"cni_version": "cniVersion"}):
    name: str = ""
    type: str = ""
    cni_version: str = ""
    mtu: int = 0
    ipam: IpamConf = IpamConf()
    policy: Policy = Policy()
    args: Args = Args()
    dns: Dns = Dns()
    feature_control: FeatureControl = FeatureControl()


@dataclass(frozen=True, slots=True)
class NetConf:
    """A validated configuration. `mtu` 0: the node's. `addresses`: asked for, one per family.

    pools: names or CIDRs by family; of a family without any, those whose selectors match.
    """

    name: str
    cni_version: str
    mtu: int = 0
    families: tuple[int, ...] = (4,)
    pools: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    addresses: tuple[IPAddress, ...] = ()
    mac: str | None = None
    kubernetes_profiles: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)
    dns: Dns = field(default_factory=Dns)
    prev_result: Mapping[str, Any] | None = None
    may_pass_ipam: bool = False
    """Pods may name addresses that no pool of ours has a say in."""
    may_float: bool = False
    """Pods may have packets to other addresses led to them."""
    passes_ipam: bool = False
    """This pod does: `addresses` are such."""


def _is_off(value: object) -> bool:
    return not value


UNSERVED: Mapping[str, Callable[[Any], bool]] = {
    "mode": _is_off,
    "num_queues": lambda value: value in (None, 0, 1),
    "nodename": _is_off,
    "etcd_endpoints": _is_off,
    "etcd_authority": _is_off,
    "etcd_discovery_srv": _is_off,
    "datastore_type": lambda value: value in (None, "", "etcdv3"),
    "include_default_routes": lambda value: value in (None, True),
    "readiness_gates": _is_off,
    "policy_setup_timeout_seconds": _is_off,
    "ipMasq": _is_off,
    "container_settings.allow_ip_forwarding": _is_off,
    "ipam.subnet": _is_off,
    "ipam.ranges": _is_off,
    "ipam.routes": _is_off,
    "ipam.addresses": _is_off,
}
"""Field -> whether a value of it asks for nothing that we do not do."""


def decode(text: bytes) -> dict[str, Any]:
    """Standard input as a JSON object. Raises NotDecoded."""
    try:
        loaded = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise NotDecoded(f"standard input is not JSON: {error}") from error
    if not isinstance(loaded, dict):
        raise NotDecoded("standard input is not a JSON object")
    return loaded


def version_of(document: Mapping[str, Any]) -> str:
    """The version to answer in: the configuration's own when we speak it, else our newest."""
    wanted = document.get("cniVersion")
    return wanted if wanted in SUPPORTED_VERSIONS else SUPPORTED_VERSIONS[-1]


def parse_identity(document: Mapping[str, Any]) -> NetConf:
    """Just the name and version: all that DEL needs, whatever else the configuration says by now."""
    wanted = document.get("cniVersion", "")
    if wanted not in SUPPORTED_VERSIONS:
        known = ", ".join(SUPPORTED_VERSIONS)
        raise IncompatibleVersion(f"cniVersion: {wanted!r} is not supported; use one of {known}")
    name = document.get("name")
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise BadNetworkConfig(f"name: {name!r} is not a network name ([A-Za-z0-9_.-]+)")
    return NetConf(name=name, cni_version=wanted)


def parse(document: Mapping[str, Any]) -> NetConf:
    """The whole configuration. Raises CniError with the field's name."""
    identity = parse_identity(document)
    _refuse_unserved(document)
    try:
        raw = msgspec.convert(document, _Raw)
        runtime = msgspec.convert(document.get("runtimeConfig") or {}, RuntimeConf)
        prev = msgspec.convert(document.get("prevResult"), dict[str, Any] | None)
    except msgspec.ValidationError as error:
        raise BadNetworkConfig(str(error)) from error
    if raw.ipam.type not in IPAM_TYPES:
        raise UnsupportedField(f"ipam.type: {raw.ipam.type!r} is not served; leave it out")
    if raw.mtu and not MIN_MTU <= raw.mtu <= MAX_MTU:
        raise BadNetworkConfig(f"mtu: {raw.mtu} is not between {MIN_MTU} and {MAX_MTU}")
    return NetConf(
        name=identity.name,
        cni_version=identity.cni_version,
        mtu=raw.mtu,
        families=_families(raw.ipam),
        pools=_pools(raw.ipam),
        addresses=parse_addresses("ips", (*runtime.ips, *raw.args.cni.ips)),
        mac=parse_mac("mac", runtime.mac or raw.args.cni.mac),
        kubernetes_profiles=raw.policy.type == "k8s",
        labels=_labels(raw.args.cni.labels),
        dns=raw.dns,
        prev_result=prev,
        may_pass_ipam=raw.feature_control.ip_addrs_no_ipam,
        may_float=raw.feature_control.floating_ips,
    )


def parse_addresses(where: str, texts: tuple[str, ...]) -> tuple[IPAddress, ...]:
    """Addresses with or without a prefix length, at most one per family, IPv4 first."""
    found: dict[int, IPAddress] = {}
    for text in texts:
        try:
            address = ip_interface(text).ip if "/" in text else ip_address(text)
        except ValueError as error:
            raise BadNetworkConfig(f"{where}: {text!r} is not an IP address") from error
        if found.setdefault(address.version, address) != address:
            raise BadNetworkConfig(
                f"{where}: {found[address.version]} and {address}; a pod gets one per family"
            )
    return tuple(found[version] for version in sorted(found))


def parse_mac(where: str, text: str) -> str | None:
    """A unicast Ethernet address in lower case; None when there is none."""
    if not text:
        return None
    mac = text.lower()
    if not MAC.fullmatch(mac) or int(mac[:2], 16) & 1 or mac == "00:00:00:00:00:00":
        raise BadNetworkConfig(f"{where}: {text!r} is not a unicast Ethernet address")
    return mac


def _labels(given: list[Label]) -> dict[str, str]:
    if len(given) > MAX_LABELS:
        raise BadNetworkConfig(f"args.cni.labels: {len(given)} labels, at most {MAX_LABELS}")
    for label in given:
        if not LABEL_KEY.fullmatch(label.key) or not LABEL_VALUE.fullmatch(label.value):
            told = f"{label.key[:80]!r}: {label.value[:80]!r}"
            raise BadNetworkConfig(f"args.cni.labels: {told} is no label as Calico allows it")
    return {label.key: label.value for label in given}


def _pools(ipam: IpamConf) -> dict[int, tuple[str, ...]]:
    named = {4: tuple(ipam.ipv4_pools), 6: tuple(ipam.ipv6_pools)}
    return {family: names for family, names in named.items() if names}


def _families(ipam: IpamConf) -> tuple[int, ...]:
    wanted = {4: ipam.assign_ipv4, 6: ipam.assign_ipv6}
    families = tuple(version for version, yes in wanted.items() if yes == "true")
    if not families:
        raise BadNetworkConfig("ipam: assign_ipv4 and assign_ipv6 are both false")
    return families


def _refuse_unserved(document: Mapping[str, Any]) -> None:
    for path, is_harmless in UNSERVED.items():
        outer, _, inner = path.partition(".")
        value = document.get(outer)
        if inner:
            value = value.get(inner) if isinstance(value, Mapping) else None
        if not is_harmless(value):
            raise UnsupportedField(
                f"{path}: felix-py does not serve this; remove it from the network configuration"
            )
