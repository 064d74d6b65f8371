"""Pure: what the annotations of a pod and of its namespace ask for.

Reference: Calico v3.32.1 `cni-plugin/pkg/k8s/k8s.go` and `libcalico-go/lib/backend/k8s/conversion`; of
the pools a pod's own beat its namespace's, family by family; everything else is the pod's alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from ipaddress import ip_address, ip_network
from typing import Any

import msgspec

from cni.errors import BadAnnotation, BadNetworkConfig, CniError
from cni.netconf import parse_mac
from felix_py.datastore.codec_qos import decode_qos
from felix_py.datastore.model import Invalid, IPAddress

PREFIX = "cni.projectcalico.org/"
POOLS = {4: PREFIX + "ipv4pools", 6: PREFIX + "ipv6pools"}
ADDRESSES = PREFIX + "ipAddrs"
MAC = PREFIX + "hwAddr"
FAMILIES = PREFIX + "ipFamilies"
SOURCES = PREFIX + "allowedSourcePrefixes"
PAST_IPAM = PREFIX + "ipAddrsNoIpam"
FLOATING = PREFIX + "floatingIPs"

FAMILY_NAMES = {"IPv4": 4, "IPv6": 6}

QOS_PREFIX = "qos.projectcalico.org/"
QOS_NUMBERS = tuple(
    f"{way}{what}"
    for way in ("ingress", "egress")
    for what in (
        *("Bandwidth", "Burst", "Peakrate", "Minburst"),
        *("PacketRate", "PacketBurst", "MaxConnections"),
    )
)
KUBERNETES_BANDWIDTH = {
    "ingressBandwidth": "kubernetes.io/ingress-bandwidth",
    "egressBandwidth": "kubernetes.io/egress-bandwidth",
}

QUANTITY = re.compile(r"(\d{1,18}(?:\.\d{1,9})?)(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|[eE]\d{1,2})?")
SUFFIXES = {
    "": Decimal(1),
    "m": Decimal("0.001"),
    **{unit: Decimal(1000) ** (n + 1) for n, unit in enumerate("kMGTPE")},
    **{f"{unit}i": Decimal(1024) ** (n + 1) for n, unit in enumerate("KMGTPE")},
}
"""Kubernetes `apimachinery/pkg/api/resource/quantity.go`."""

MAX_LISTED = 64
"""Entries of one annotation that are read; more are refused."""

_LIST = msgspec.json.Decoder(list[str])


@dataclass(frozen=True, slots=True)
class Wishes:
    """What is asked for. pools: by family; empty or absent: nothing is asked for.

    past_ipam: the addresses are to be had without asking IPAM.
    floating: addresses whose packets are to be led to the pod's own of that family.

    sources: prefixes that the pod may send from besides its own addresses.
    qos: Calico's qosControls; slips: annotations about limits that cannot be meant and count as absent.
    """

    pools: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    addresses: tuple[IPAddress, ...] = ()
    past_ipam: bool = False
    floating: tuple[IPAddress, ...] = ()
    mac: str | None = None
    families: tuple[int, ...] = ()
    sources: tuple[str, ...] = ()
    qos: Mapping[str, Any] = field(default_factory=dict)
    slips: tuple[str, ...] = ()


def wishes_of(pod: Mapping[str, str], namespace: Mapping[str, str]) -> Wishes:
    """The wishes. Raises BadAnnotation that names the annotation."""
    given, past = (_addresses(name, pod) for name in (ADDRESSES, PAST_IPAM))
    if given and past:
        raise BadAnnotation(f"annotations {ADDRESSES} and {PAST_IPAM}: a pod has one of the two")
    qos, slips = _qos(pod)
    return Wishes(
        pools={
            family: named
            for family, name in POOLS.items()
            if (named := _texts_at(name, pod) or _texts_at(name, namespace))
        },
        addresses=given or past,
        past_ipam=bool(past),
        floating=tuple(_each_address(FLOATING, pod)),
        mac=_mac(pod.get(MAC, "")),
        families=_families(_texts_at(FAMILIES, pod)),
        sources=_sources(_texts_at(SOURCES, pod)),
        qos=qos,
        slips=slips,
    )


def _texts_at(name: str, annotations: Mapping[str, str]) -> tuple[str, ...]:
    return _texts(name, annotations[name]) if name in annotations else ()


def _texts(name: str, value: str) -> tuple[str, ...]:
    if not value.strip():
        return ()
    try:
        texts = _LIST.decode(value)
    except (msgspec.MsgspecError, UnicodeEncodeError):
        told = value[:80]
        raise BadAnnotation(f'annotation {name}: {told!r} is no list such as ["a"]') from None
    if len(texts) > MAX_LISTED:
        raise BadAnnotation(f"annotation {name}: {len(texts)} entries, at most {MAX_LISTED}")
    return tuple(texts)


def _addresses(name: str, annotations: Mapping[str, str]) -> tuple[IPAddress, ...]:
    found: dict[int, IPAddress] = {}
    for address in _each_address(name, annotations):
        if found.setdefault(address.version, address) != address:
            first = found[address.version]
            raise BadAnnotation(
                f"annotation {name}: {first} and {address}; a pod gets one per family"
            )
    return tuple(found[version] for version in sorted(found))


def _each_address(name: str, annotations: Mapping[str, str]) -> Iterator[IPAddress]:
    for text in _texts_at(name, annotations):
        try:
            yield ip_address(text)
        except ValueError:
            raise BadAnnotation(f"annotation {name}: {text[:80]!r} is not an IP address") from None


def _mac(text: str) -> str | None:
    try:
        return parse_mac(f"annotation {MAC}", text)
    except BadNetworkConfig as error:
        raise BadAnnotation(str(error)) from None


def _families(texts: tuple[str, ...]) -> tuple[int, ...]:
    unknown = [text for text in texts if text not in FAMILY_NAMES]
    if unknown:
        told = unknown[0][:80]
        raise BadAnnotation(f"annotation {FAMILIES}: {told!r} is neither IPv4 nor IPv6")
    return tuple(sorted({FAMILY_NAMES[text] for text in texts}))


def _sources(texts: tuple[str, ...]) -> tuple[str, ...]:
    for text in texts:
        try:
            ip_network(text)
        except ValueError:
            raise BadAnnotation(f"annotation {SOURCES}: {text[:80]!r} is no prefix") from None
    return texts


def _qos(annotations: Mapping[str, str]) -> tuple[Mapping[str, Any], tuple[str, ...]]:
    """The controls, and what is wrong with them: then there are none."""
    qos: dict[str, Any] = {}
    try:
        for field_name in QOS_NUMBERS:
            name = QOS_PREFIX + field_name
            if name not in annotations:
                name = KUBERNETES_BANDWIDTH.get(field_name, name)
            if name in annotations:
                qos[field_name] = _quantity(name, annotations[name])
    except CniError as error:
        return {}, (str(error),)
    if annotations.get(QOS_PREFIX + "dscp"):
        qos["dscp"] = annotations[QOS_PREFIX + "dscp"]
    decoded = decode_qos(qos)
    if isinstance(decoded, Invalid):
        return {}, (f"annotations about limits count as absent: {decoded.reason}",)
    return qos, ()


def _quantity(name: str, text: str) -> int:
    """A quantity of Kubernetes, rounded up to a whole number."""
    match = QUANTITY.fullmatch(text.strip())
    if match is None:
        raise BadAnnotation(f"annotation {name}: {text[:80]!r} is no quantity such as 10M")
    number, suffix = Decimal(match[1]), match[2] or ""
    factor = SUFFIXES[suffix] if suffix in SUFFIXES else Decimal(10) ** int(suffix[1:])
    exact = number * factor
    return int(exact) + (exact != int(exact))
