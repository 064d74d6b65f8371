"""Workload endpoints: stored JSON to frozen values.

Rules: Calico v3.32.1 `libcalico-go/lib/apis/internalapi/workloadendpoint.go`, `lib/validator/v3`.
"""

from __future__ import annotations

from typing import Any

import msgspec

from felix_py.datastore import codec_fields as fields
from felix_py.datastore.codec_fields import BadField
from felix_py.datastore.codec_json import loads
from felix_py.datastore.codec_qos import decode_qos
from felix_py.datastore.codec_resources import Resource, metadata
from felix_py.datastore.floating import FloatingAddress
from felix_py.datastore.keys import ResourceKey
from felix_py.datastore.model import IPNetwork, NodeName, WorkloadEndpoint


class _Nat(msgspec.Struct):
    internal: str = msgspec.field(default="", name="internalIP")
    external: str = msgspec.field(default="", name="externalIP")


class _Endpoint(msgspec.Struct, rename="camel"):
    orchestrator: str | None = None
    workload: str | None = None
    node: str | None = None
    container_id: str | None = msgspec.field(default=None, name="containerID")
    pod: str | None = None
    endpoint: str | None = None
    service_account_name: str | None = None
    ip_networks: list[str] | None = msgspec.field(default=None, name="ipNetworks")
    nats: list[_Nat] | None = msgspec.field(default=None, name="ipNATs")
    profiles: list[str] | None = None
    interface_name: str | None = None
    mac: str | None = None
    spoofable: list[str] | None = msgspec.field(default=None, name="allowSpoofedSourcePrefixes")
    qos_controls: Any = None


_ENDPOINT = msgspec.json.Decoder(Resource[_Endpoint])


def decode_endpoint(key: ResourceKey, raw: bytes) -> WorkloadEndpoint:
    """A pod's interface. Raises BadField."""
    wire = loads(raw, _ENDPOINT)
    spec = wire.spec or _Endpoint()
    networks = tuple(_host_network(n, text) for n, text in enumerate(spec.ip_networks or ()))
    return WorkloadEndpoint(
        meta=metadata(key, wire),
        orchestrator=fields.required("spec.orchestrator", spec.orchestrator or ""),
        node=NodeName(fields.required("spec.node", spec.node or "")),
        workload=spec.workload or "",
        container_id=fields.container_id("spec.containerID", spec.container_id or ""),
        pod=spec.pod or "",
        endpoint=fields.required("spec.endpoint", spec.endpoint or ""),
        networks=networks,
        interface_name=fields.interface_name("spec.interfaceName", spec.interface_name or ""),
        mac=fields.mac("spec.mac", spec.mac or ""),
        profiles=tuple(spec.profiles or ()),
        service_account=spec.service_account_name or "",
        qos=decode_qos(spec.qos_controls),
        floating=tuple(_floating(n, nat, networks) for n, nat in enumerate(spec.nats or ())),
        spoofable=tuple(
            fields.network(f"spec.allowSpoofedSourcePrefixes[{n}]", text)
            for n, text in enumerate(spec.spoofable or ())
        ),
    )


def _floating(index: int, nat: _Nat, networks: tuple[IPNetwork, ...]) -> FloatingAddress:
    field = f"spec.ipNATs[{index}]"
    internal = fields.address(f"{field}.internalIP", nat.internal)
    external = fields.address(f"{field}.externalIP", nat.external)
    if all(internal != network.network_address for network in networks):
        raise BadField(f"{field}.internalIP", f"{internal} is none of spec.ipNetworks")
    if internal.version != external.version:
        raise BadField(f"{field}.externalIP", f"{external} is not of {internal}'s family")
    return FloatingAddress(internal, external)


def _host_network(index: int, text: str) -> IPNetwork:
    field = f"spec.ipNetworks[{index}]"
    found = fields.masked_network(field, text)
    if found.prefixlen != found.max_prefixlen:
        raise BadField(field, f"{text!r} is not one address; write it with /{found.max_prefixlen}")
    return found
