"""Text of a key to its typed value and back. `decode` never raises and never repairs.

An object that breaks one of Calico's rules is Invalid: it counts as absent, and the reason names the
field and what to do. Fields that we do not know are kept where we write the whole value.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from felix_py.datastore import (
    codec_bgp,
    codec_endpoint,
    codec_felix,
    codec_ipam,
    codec_resources,
    territory,
)
from felix_py.datastore.codec_documents import render_new, rewrite
from felix_py.datastore.codec_fields import BadField, required
from felix_py.datastore.codec_json import dumps, loads
from felix_py.datastore.keys import (
    AffinityKey,
    BlockKey,
    ControllersKey,
    HandleKey,
    IPAMConfigKey,
    Key,
    ResourceKey,
    SessionKey,
    StatusKey,
)
from felix_py.datastore.model import (
    Block,
    BlockAffinity,
    Handle,
    Invalid,
    IPAMConfig,
    Kind,
)
from felix_py.datastore.model_own import DaemonStatus, Session
from felix_py.datastore.territory import Holding
from felix_py.datastore.values import Value

__all__ = [
    "MAX_VALUE_BYTES",
    "Encodable",
    "decode",
    "decode_foreign_block",
    "encode",
    "render_new",
    "rewrite",
]

MAX_VALUE_BYTES = 2 * 1024 * 1024
"""Longer values are Invalid; etcd itself refuses requests over 1.5 MiB unless told otherwise."""

Encodable = Block | BlockAffinity | Handle | IPAMConfig | Session | DaemonStatus
"""Values that are ours to write whole; resources are written by render_new and rewrite."""


class _Session(msgspec.Struct, rename="camel"):
    machine_id: str = ""
    nonce: str = ""


_SESSION = msgspec.json.Decoder(_Session)
_STATUS = msgspec.json.Decoder(dict[str, Any])


def decode(key: Key, raw: bytes) -> Value | Invalid:
    """The value of this key, or why it cannot be used."""
    if len(raw) > MAX_VALUE_BYTES:
        return Invalid(f"value: {len(raw)} bytes, over {MAX_VALUE_BYTES}; write it anew")
    try:
        if isinstance(key, ResourceKey):
            return _RESOURCES.get(key.kind, codec_resources.decode_generic)(key, raw)
        return _OTHERS[type(key)](key, raw)
    except BadField as error:
        return Invalid(str(error))


def decode_foreign_block(key: BlockKey, raw: bytes) -> Holding | Invalid:
    """What a node needs of a block that is not its own, or why that cannot be read."""
    try:
        return territory.decode_holding(key, raw)
    except BadField as error:
        return Invalid(str(error))


def encode(value: Encodable) -> bytes:
    """The text that Calico would store for this value."""
    return _ENCODERS[type(value)](value)


def _decode_session(key: SessionKey, raw: bytes) -> Session:
    del key
    wire = loads(raw, _SESSION)
    return Session(required("machineId", wire.machine_id), required("nonce", wire.nonce))


def _encode_session(session: Session) -> bytes:
    return dumps({"machineId": session.machine_id, "nonce": session.nonce})


def _decode_status(key: StatusKey | ControllersKey, raw: bytes) -> DaemonStatus:
    del key
    document = loads(raw, _STATUS)
    return DaemonStatus(document)


def _encode_status(status: DaemonStatus) -> bytes:
    return dumps(status.document)


_RESOURCES: dict[Kind, Callable[[ResourceKey, bytes], Value]] = {
    Kind.BGP_CONFIGURATION: codec_bgp.decode_configuration,
    Kind.BGP_PEER: codec_bgp.decode_peer,
    Kind.CLUSTER_INFORMATION: codec_resources.decode_cluster,
    Kind.FELIX_CONFIGURATION: codec_felix.decode_felix_configuration,
    Kind.IP_POOL: codec_resources.decode_pool,
    Kind.IP_RESERVATION: codec_resources.decode_reservation,
    Kind.NODE: codec_resources.decode_node,
    Kind.PROFILE: codec_resources.decode_profile,
    Kind.WORKLOAD_ENDPOINT: codec_endpoint.decode_endpoint,
}
_OTHERS: dict[type, Callable[[Any, bytes], Value]] = {
    BlockKey: codec_ipam.decode_block,
    AffinityKey: codec_ipam.decode_affinity,
    HandleKey: codec_ipam.decode_handle,
    IPAMConfigKey: codec_ipam.decode_config,
    SessionKey: _decode_session,
    StatusKey: _decode_status,
    ControllersKey: _decode_status,
}
_ENCODERS: dict[type, Callable[[Any], bytes]] = {
    Block: codec_ipam.encode_block,
    BlockAffinity: codec_ipam.encode_affinity,
    Handle: codec_ipam.encode_handle,
    IPAMConfig: codec_ipam.encode_config,
    Session: _encode_session,
    DaemonStatus: _encode_status,
}
