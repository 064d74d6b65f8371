"""Calico's values to ours and back; nothing that etcd may hold makes the codec raise."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from felix_py.datastore import codec, keys
from felix_py.datastore.keys import (
    AffinityKey,
    BlockKey,
    HandleKey,
    IPAMConfigKey,
    Key,
    ResourceKey,
)
from felix_py.datastore.model import (
    AffinityState,
    Block,
    BlockAffinity,
    Handle,
    Invalid,
    IPAMConfig,
)
from tests.unit.datastore.calico_writes import recorded_writes
from tests.unit.datastore.codec_keys import ALL_KEYS, NODE, POOL, reason

WRITES = recorded_writes()


def test_the_recording_holds_what_we_think() -> None:
    kinds = {type(keys.parse(key)) for _, key, _ in WRITES}
    assert {BlockKey, AffinityKey, HandleKey, IPAMConfigKey, ResourceKey} <= kinds
    assert len(WRITES) > 70


@pytest.mark.parametrize(("revision", "path", "raw"), WRITES, ids=[each[0] for each in WRITES])
def test_every_recorded_value_is_read_and_ipam_values_are_written_alike(
    revision: str, path: str, raw: bytes
) -> None:
    key = keys.parse(path)
    if key is None:
        return
    value = codec.decode(key, raw)
    assert not isinstance(value, Invalid), value
    if isinstance(value, Block | BlockAffinity | Handle | IPAMConfig):
        as_we_write_it = raw.replace(b'"attributes":null', b'"attributes":[]')
        assert codec.encode(value) == as_we_write_it
    else:
        assert json.loads(codec.rewrite(raw)) == json.loads(raw)
        assert codec.rewrite(raw) == raw


@given(raw=st.binary(max_size=200), key=st.sampled_from(ALL_KEYS))
def test_no_bytes_make_it_raise(raw: bytes, key: Key) -> None:
    codec.decode(key, raw)


TEXT = st.text(alphabet="abc019./:-{}\x00\u2028é<&", max_size=12)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=10,
)
FIELDS = st.sampled_from(
    [
        *("cidr", "blockSize", "ipipMode", "nodeSelector", "allowedUses", "bgp", "asNumber"),
        *("peerIP", "peerSelector", "ipNetworks", "node", "containerID", "reservedCIDRs", "state"),
        *("block", "allocations", "unallocated", "attributes", "sequenceNumberForAllocation"),
        *("metadata", "status", "clusterGUID", "prefixAdvertisements", "machineId", "nonce"),
    ]
)


@given(spec=st.dictionaries(FIELDS, JSON, max_size=5), key=st.sampled_from(ALL_KEYS))
def test_no_document_makes_it_raise(spec: dict[str, Any], key: Key) -> None:
    codec.decode(key, json.dumps(spec).encode("utf-8", "replace"))
    codec.decode(key, json.dumps({"spec": spec, "metadata": spec}).encode("utf-8", "replace"))


@pytest.mark.parametrize(
    "raw", [b"[" * 100_000, b'{"a":' * 50_000, b"\xff\xfe", b"", b"null", b"[]"]
)
def test_hostile_text_is_invalid_whatever_the_key(raw: bytes) -> None:
    for key in ALL_KEYS:
        answer = codec.decode(key, raw)
        if isinstance(key, AffinityKey) and not raw:
            assert answer == BlockAffinity(AffinityState.CONFIRMED)
        else:
            assert isinstance(answer, Invalid)


def test_an_overlong_value_is_invalid() -> None:
    raw = b'{"a":"' + b"x" * codec.MAX_VALUE_BYTES + b'"}'
    assert isinstance(codec.decode(NODE, raw), Invalid)


def test_a_type_error_names_its_field() -> None:
    answer = reason(POOL, {"cidr": "10.0.0.0/16", "blockSize": "26"})
    assert answer.startswith("spec.blockSize: expected `int | null`, got `str`")
