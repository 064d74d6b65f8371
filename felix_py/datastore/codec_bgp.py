"""BGPConfiguration and BGPPeer: stored JSON to frozen values.

Rules: Calico v3.32.1 `api/pkg/apis/projectcalico/v3/{bgpconfig,bgppeer}.go` and
`libcalico-go/lib/validator/v3`; fields a `node.<name>` configuration may not set:
`libcalico-go/lib/clientv3/bgpconfig.go`.
"""

from __future__ import annotations

import re

import msgspec

from felix_py.datastore import codec_fields as fields
from felix_py.datastore.codec_fields import BadField
from felix_py.datastore.codec_json import loads
from felix_py.datastore.codec_resources import Resource, metadata
from felix_py.datastore.keys import ResourceKey
from felix_py.datastore.model import NodeName
from felix_py.datastore.model_bgp import BGPConfiguration, BGPPeer, PrefixAdvertisement

_COMMUNITY = re.compile(r"[0-9]{1,5}:[0-9]{1,5}|[0-9]{1,10}:[0-9]{1,10}:[0-9]{1,10}", re.ASCII)


class _SecretKey(msgspec.Struct):
    name: str | None = None
    key: str | None = None


class _Password(msgspec.Struct, rename="camel"):
    secret_key_ref: _SecretKey | None = None


class _Community(msgspec.Struct):
    name: str | None = None
    value: str | None = None


class _Advertisement(msgspec.Struct):
    cidr: str | None = None
    communities: list[str] | None = None


class _Configuration(msgspec.Struct, rename="camel"):
    node_to_node_mesh_enabled: bool | None = None
    as_number: int | str | None = None
    listen_port: int | None = None
    node_mesh_max_restart_time: str | None = None
    node_mesh_password: _Password | None = None
    communities: list[_Community] | None = None
    prefix_advertisements: list[_Advertisement] | None = None
    program_cluster_routes: str | None = None


class _Peer(msgspec.Struct, rename="camel"):
    node: str | None = None
    node_selector: str | None = None
    peer_ip: str | None = msgspec.field(default=None, name="peerIP")
    peer_selector: str | None = None
    as_number: int | str | None = None
    local_as_number: int | str | None = msgspec.field(default=None, name="localASNumber")
    local_workload_selector: str | None = None
    keep_original_next_hop: bool | None = None
    next_hop_mode: str | None = None
    source_address: str | None = None
    max_restart_time: str | None = None
    allowed_local_as: int | None = msgspec.field(default=None, name="numAllowedLocalASNumbers")
    ttl_security: int | None = msgspec.field(default=None, name="ttlSecurity")
    password: _Password | None = None
    reachable_by: str | None = None
    filters: list[str] | None = None


_CONFIGURATION = msgspec.json.Decoder(Resource[_Configuration])
_PEER = msgspec.json.Decoder(Resource[_Peer])


def decode_configuration(key: ResourceKey, raw: bytes) -> BGPConfiguration:
    """Cluster-wide or one node's settings. Raises BadField."""
    wire = loads(raw, _CONFIGURATION)
    spec = wire.spec or _Configuration()
    _check_scope(key.name, spec)
    port = spec.listen_port
    if port is not None:
        fields.in_range("spec.listenPort", port, 1, 65535)
    restart = spec.node_mesh_max_restart_time
    return BGPConfiguration(
        meta=metadata(key, wire),
        mesh_enabled=spec.node_to_node_mesh_enabled,
        as_number=fields.as_number("spec.asNumber", spec.as_number),
        listen_port=port,
        mesh_max_restart_seconds=fields.duration_seconds("spec.nodeMeshMaxRestartTime", restart),
        mesh_password_secret=_secret("spec.nodeMeshPassword", spec.node_mesh_password),
        prefix_advertisements=_advertisements(spec),
        program_cluster_routes=_programs(spec.program_cluster_routes),
    )


def _programs(text: str | None) -> bool | None:
    if not text:
        return None
    return fields.one_of("spec.programClusterRoutes", text, ("Enabled", "Disabled")) == "Enabled"


def decode_peer(key: ResourceKey, raw: bytes) -> BGPPeer:
    """A peering. Raises BadField."""
    wire = loads(raw, _PEER)
    spec = wire.spec or _Peer()
    _check_peer(spec)
    address, port = None, None
    if spec.peer_ip:
        address, port = fields.peer_address("spec.peerIP", spec.peer_ip)
    reachable_by = None
    if spec.reachable_by:
        reachable_by = fields.address("spec.reachableBy", spec.reachable_by)
        if address is None or address.version != reachable_by.version:
            raise BadField("spec.reachableBy", "needs a peerIP of the same IP version; correct it")
    hops = spec.ttl_security
    restart = spec.max_restart_time
    source = fields.one_of("spec.sourceAddress", spec.source_address or "", ("UseNodeIP", "None"))
    mode = fields.one_of("spec.nextHopMode", spec.next_hop_mode or "", ("Auto", "Self", "Keep"))
    loops = spec.allowed_local_as or 0
    return BGPPeer(
        meta=metadata(key, wire),
        node=NodeName(spec.node) if spec.node else None,
        node_selector=_selector("spec.nodeSelector", spec.node_selector),
        peer_ip=address,
        peer_port=port,
        peer_selector=_selector("spec.peerSelector", spec.peer_selector),
        as_number=fields.as_number("spec.asNumber", spec.as_number) or None,
        local_as_number=fields.as_number("spec.localASNumber", spec.local_as_number) or None,
        keep_original_next_hop=bool(spec.keep_original_next_hop),
        next_hop_mode=mode,
        use_node_ip=source == "UseNodeIP",
        max_restart_seconds=fields.duration_seconds("spec.maxRestartTime", restart),
        allowed_local_as=fields.in_range("spec.numAllowedLocalASNumbers", loops, 0, 2**31 - 1),
        ttl_security=None if not hops else fields.in_range("spec.ttlSecurity", hops, 1, 255),
        password_secret=_secret("spec.password", spec.password),
        reachable_by=reachable_by,
        filters=tuple(spec.filters or ()),
    )


def _selector(field: str, text: str | None) -> str:
    return fields.selector(field, text or "")


def _check_peer(spec: _Peer) -> None:
    for here, there in (
        (("spec.nodeSelector", spec.node_selector), ("spec.node", spec.node)),
        (("spec.peerSelector", spec.peer_selector), ("spec.peerIP", spec.peer_ip)),
        (("spec.peerSelector", spec.peer_selector), ("spec.asNumber", spec.as_number)),
        (
            ("spec.nextHopMode", spec.next_hop_mode),
            ("spec.keepOriginalNextHop", spec.keep_original_next_hop),
        ),
    ):
        if here[1] and there[1]:
            raise BadField(here[0], f"cannot go with {there[0]}; remove one of them")
    if spec.local_workload_selector:
        problem = "peering with local workloads is not served; use peerIP or peerSelector"
        raise BadField("spec.localWorkloadSelector", problem)
    if not spec.peer_ip and not spec.peer_selector:
        raise BadField("spec.peerIP", "is missing; set it or peerSelector")


def _check_scope(name: str, spec: _Configuration) -> None:
    if name == "default":
        return
    if not name.startswith("node."):
        raise BadField("metadata.name", f"{name!r} is unknown; write default or node.<node>")
    for field, value in (
        ("nodeToNodeMeshEnabled", spec.node_to_node_mesh_enabled),
        ("asNumber", spec.as_number),
        ("nodeMeshPassword", spec.node_mesh_password),
        ("nodeMeshMaxRestartTime", spec.node_mesh_max_restart_time),
    ):
        if value is not None:
            problem = "cannot be set for one node; move it to the configuration default"
            raise BadField(f"spec.{field}", problem)


def _secret(field: str, password: _Password | None) -> tuple[str, str] | None:
    if password is None or password.secret_key_ref is None:
        return None
    name, key = password.secret_key_ref.name or "", password.secret_key_ref.key or ""
    return (
        fields.required(f"{field}.secretKeyRef.name", name),
        fields.required(f"{field}.secretKeyRef.key", key),
    )


def _advertisements(spec: _Configuration) -> tuple[PrefixAdvertisement, ...] | None:
    if spec.prefix_advertisements is None:
        return None
    named = {each.name or "": each.value or "" for each in spec.communities or ()}
    return tuple(
        PrefixAdvertisement(
            fields.masked_network(f"spec.prefixAdvertisements[{n}].cidr", each.cidr or ""),
            tuple(_community(n, text, named) for text in each.communities or ()),
        )
        for n, each in enumerate(spec.prefix_advertisements)
    )


def _community(index: int, text: str, named: dict[str, str]) -> str:
    field = f"spec.prefixAdvertisements[{index}].communities"
    value = named.get(text, text)
    highest = 65535 if value.count(":") == 1 else 2**32 - 1
    if not _COMMUNITY.fullmatch(value) or any(int(part) > highest for part in value.split(":")):
        problem = f"{text!r} is neither aa:nn, aa:nn:mm nor a name in spec.communities; correct it"
        raise BadField(field, problem)
    return value
