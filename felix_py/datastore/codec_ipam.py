"""IPAM's values: blocks, affinities, handles, configuration.

Reference: Calico v3.32.1 `libcalico-go/lib/backend/model/{block,block_affinity,ipam_handle,
ipam_config}.go`. Each `encode_*` writes Calico's fields in Calico's order.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from felix_py.datastore.codec_fields import BadField, in_range, masked_network
from felix_py.datastore.codec_json import convert, dumps, loads
from felix_py.datastore.keys import AffinityKey, BlockKey, HandleKey, IPAMConfigKey
from felix_py.datastore.model import (
    AffinityState,
    Attribute,
    Block,
    BlockAffinity,
    Handle,
    HandleId,
    IPAMConfig,
)

MAX_SEQUENCE_NUMBER = 2**64 - 1
MAX_BLOCK_ADDRESSES = 4096
"""The largest block Calico allows: /20 for IPv4, /116 for IPv6."""


class _Block(msgspec.Struct):
    cidr: str
    allocations: list[int | None]
    affinity: str | None = None
    affinity_claim_time: str | None = None
    unallocated: list[int] | None = None
    attributes: list[dict[str, Any]] | None = None
    sequenceNumber: int | None = None  # noqa: N815  Calico's spelling
    sequenceNumberForAllocation: dict[str, int] | None = None  # noqa: N815
    deleted: bool | None = None


class _Attribute(msgspec.Struct):
    handle_id: str | None = None
    secondary: dict[str, str] | None = None


class _Affinity(msgspec.Struct):
    state: str | None = None
    deleted: bool | None = None


class _Handle(msgspec.Struct):
    block: dict[str, int] | None = None
    deleted: bool | None = None


class _Config(msgspec.Struct):
    strict_affinity: bool | None = None
    auto_allocate_blocks: bool | None = None
    maxBlocksPerHost: int | None = None  # noqa: N815
    kubeVirtVMAddressPersistence: str | None = None  # noqa: N815


_DOCUMENT = msgspec.json.Decoder(dict[str, Any])
_AFFINITY = msgspec.json.Decoder(_Affinity)
_HANDLE = msgspec.json.Decoder(_Handle)
_CONFIG = msgspec.json.Decoder(_Config)
_BLOCK_FIELDS = frozenset(_Block.__struct_fields__)
_ATTRIBUTE_FIELDS = frozenset(_Attribute.__struct_fields__)


def decode_block(key: BlockKey, raw: bytes) -> Block:
    """A block whose invariants hold. Raises BadField."""
    document = loads(raw, _DOCUMENT)
    wire = convert(document, _Block)
    _refuse_deleted(deleted=wire.deleted)
    if wire.cidr != str(key.cidr) and masked_network("cidr", wire.cidr) != key.cidr:
        raise BadField("cidr", f"{wire.cidr} is not the key's {key.cidr}; delete the block")
    attributes = tuple(map(_attribute, range(len(wire.attributes or ())), wire.attributes or ()))
    sequence = wire.sequenceNumber or 0
    block = Block(
        cidr=key.cidr,
        affinity=wire.affinity,
        affinity_claim_time=wire.affinity_claim_time,
        allocations=tuple(wire.allocations),
        unallocated=tuple(wire.unallocated or ()),
        attributes=attributes,
        sequence_number=in_range("sequenceNumber", sequence, 0, MAX_SEQUENCE_NUMBER),
        sequence_for_allocation=_sequences(
            len(wire.allocations), wire.sequenceNumberForAllocation or {}
        ),
        extra={name: value for name, value in document.items() if name not in _BLOCK_FIELDS},
    )
    _check_ordinals(block)
    return block


def encode_block(block: Block) -> bytes:
    """`affinity` is always there; `attributes` is `[]` where Calico may write null."""
    document: dict[str, object] = {"cidr": str(block.cidr), "affinity": block.affinity}
    if block.affinity_claim_time is not None:
        document["affinity_claim_time"] = block.affinity_claim_time
    document["allocations"] = block.allocations
    document["unallocated"] = block.unallocated
    document["attributes"] = [_attribute_document(each) for each in block.attributes]
    document["sequenceNumber"] = block.sequence_number
    sequences = {str(ordinal): n for ordinal, n in block.sequence_for_allocation.items()}
    document["sequenceNumberForAllocation"] = _sorted(sequences)
    document["deleted"] = False
    return dumps({**document, **block.extra})


def decode_affinity(key: AffinityKey, raw: bytes) -> BlockAffinity:
    """An affinity; an empty value is confirmed, as very old data is. Raises BadField."""
    del key
    if not raw.strip():
        return BlockAffinity(AffinityState.CONFIRMED)
    wire = loads(raw, _AFFINITY)
    _refuse_deleted(deleted=wire.deleted)
    try:
        return BlockAffinity(AffinityState(wire.state or AffinityState.CONFIRMED.value))
    except ValueError:
        known = ", ".join(state.value for state in AffinityState)
        raise BadField("state", f"{wire.state!r} is unknown; write one of: {known}") from None


def encode_affinity(affinity: BlockAffinity) -> bytes:
    """As Calico writes it."""
    return dumps({"state": affinity.state.value, "deleted": False})


def decode_handle(key: HandleKey, raw: bytes) -> Handle:
    """A handle. Raises BadField."""
    del key
    wire = loads(raw, _HANDLE)
    _refuse_deleted(deleted=wire.deleted)
    return Handle({masked_network("block", text): n for text, n in (wire.block or {}).items()})


def encode_handle(handle: Handle) -> bytes:
    """As Calico writes it: blocks sorted by their text."""
    blocks = {str(cidr): count for cidr, count in handle.blocks.items()}
    return dumps({"block": _sorted(blocks), "deleted": False})


def decode_config(key: IPAMConfigKey, raw: bytes) -> IPAMConfig:
    """IPAM's configuration; an absent auto_allocate_blocks is false. Raises BadField."""
    del key
    wire = loads(raw, _CONFIG)
    most = wire.maxBlocksPerHost or 0
    return IPAMConfig(
        strict_affinity=bool(wire.strict_affinity),
        auto_allocate_blocks=bool(wire.auto_allocate_blocks),
        max_blocks_per_host=in_range("maxBlocksPerHost", most, 0, 2**31 - 1),
        kubevirt_persistence=wire.kubeVirtVMAddressPersistence,
    )


def encode_config(config: IPAMConfig) -> bytes:
    """Every field is left out when it is zero, as Calico does."""
    document = {
        "strict_affinity": config.strict_affinity,
        "auto_allocate_blocks": config.auto_allocate_blocks,
        "maxBlocksPerHost": config.max_blocks_per_host,
        "kubeVirtVMAddressPersistence": config.kubevirt_persistence,
    }
    return dumps({name: value for name, value in document.items() if value})


def _attribute(index: int, document: dict[str, Any]) -> Attribute:
    try:
        wire = convert(document, _Attribute)
    except BadField as error:
        raise BadField(f"attributes[{index}]", str(error)) from None
    return Attribute(
        handle_id=None if wire.handle_id is None else HandleId(wire.handle_id),
        secondary=wire.secondary or {},
        extra={name: value for name, value in document.items() if name not in _ATTRIBUTE_FIELDS},
    )


def _attribute_document(attribute: Attribute) -> dict[str, object]:
    document: dict[str, object] = {}
    if attribute.handle_id is not None:
        document["handle_id"] = attribute.handle_id
    if attribute.secondary:
        document["secondary"] = _sorted(attribute.secondary)
    return {**document, **attribute.extra}


def _sequences(size: int, texts: Mapping[str, int]) -> dict[int, int]:
    found = {}
    for text, number in texts.items():
        if not (text.isascii() and text.isdigit() and len(text) <= 5 and int(text) < size):
            field = f"sequenceNumberForAllocation[{text[:20]}]"
            raise BadField(field, "is not an ordinal of the block; remove the entry")
        if not 0 <= number <= MAX_SEQUENCE_NUMBER:
            raise BadField(f"sequenceNumberForAllocation[{text}]", f"{number} is out of range")
        found[int(text)] = number
    return found


def _check_ordinals(block: Block) -> None:
    size = block.cidr.num_addresses
    if size > MAX_BLOCK_ADDRESSES:
        raise BadField(
            "cidr", f"{block.cidr} holds over {MAX_BLOCK_ADDRESSES} addresses; delete it"
        )
    if len(block.allocations) != size:
        problem = f"has {len(block.allocations)} entries for {size} addresses; repair the block"
        raise BadField("allocations", problem)
    for index in set(block.allocations):
        if index is not None and not 0 <= index < len(block.attributes):
            problem = f"names attribute {index} of {len(block.attributes)}; repair the block"
            raise BadField("allocations", problem)
    free = {ordinal for ordinal, index in enumerate(block.allocations) if index is None}
    if len(block.unallocated) != len(free) or set(block.unallocated) != free:
        problem = "does not hold exactly the free ordinals of allocations; repair the block"
        raise BadField("unallocated", problem)


def _refuse_deleted(*, deleted: bool | None) -> None:
    if deleted:
        raise BadField("deleted", "is true, which etcd's objects never are; delete the key")


def _sorted(entries: Mapping[str, Any]) -> dict[str, Any]:
    return dict(sorted(entries.items()))
