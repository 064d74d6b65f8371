"""IPAM's values, Calico's to ours and back."""

from __future__ import annotations

import json
from ipaddress import IPv4Network, ip_network
from typing import Any

import pytest

from felix_py.datastore import codec
from felix_py.datastore.keys import (
    BlockKey,
    IPAMConfigKey,
    SessionKey,
    StatusKey,
)
from felix_py.datastore.model import (
    AffinityState,
    Attribute,
    Block,
    BlockAffinity,
    Handle,
    HandleId,
    Invalid,
    IPAMConfig,
    NodeName,
)
from felix_py.datastore.model_own import DaemonStatus, Session
from tests.unit.datastore.codec_keys import AFFINITY, BLOCK, HANDLE


def block_text(**changes: Any) -> bytes:
    document = {
        "cidr": "10.244.1.0/30",
        "affinity": "host:worker-1",
        "allocations": [0, None, None, None],
        "unallocated": [1, 2, 3],
        "attributes": [{"handle_id": "h"}],
        "sequenceNumber": 7,
        "sequenceNumberForAllocation": {"0": 6},
        "deleted": False,
    }
    return json.dumps(document | changes).encode()


class TestBlock:
    def test_minimal_values_are_read(self) -> None:
        raw = block_text(attributes=None, allocations=[None] * 4, unallocated=[0, 1, 2, 3])
        document = json.loads(raw)
        del document["sequenceNumberForAllocation"], document["deleted"]
        document["sequenceNumber"] = 0
        block = codec.decode(BLOCK, json.dumps(document).encode())
        assert isinstance(block, Block)
        assert (block.attributes, block.sequence_number, block.affinity_claim_time) == ((), 0, None)

    def test_unknown_fields_survive(self) -> None:
        raw = block_text(
            attributes=[{"handle_id": "h", "alternateOwnerAttrs": {"a": "b"}}], hostAffinity="x"
        )
        block = codec.decode(BLOCK, raw)
        assert isinstance(block, Block)
        written = json.loads(codec.encode(block))
        assert written["hostAffinity"] == "x"
        assert written["attributes"] == [{"handle_id": "h", "alternateOwnerAttrs": {"a": "b"}}]

    def test_html_and_large_numbers_are_written_as_calico_does(self) -> None:
        block = Block(
            cidr=IPv4Network("10.0.0.0/32"),
            affinity=None,
            affinity_claim_time=None,
            allocations=(0,),
            unallocated=(),
            attributes=(Attribute(HandleId("a&b"), {"z": "<\u2028>", "a": "1"}),),
            sequence_number=2**64 - 1,
            sequence_for_allocation={0: 2**63},
        )
        assert codec.encode(block) == (
            b'{"cidr":"10.0.0.0/32","affinity":null,"allocations":[0],"unallocated":[],"attributes":'
            b'[{"handle_id":"a\\u0026b","secondary":{"a":"1","z":"\\u003c\\u2028\\u003e"}}],'
            b'"sequenceNumber":18446744073709551615,'
            b'"sequenceNumberForAllocation":{"0":9223372036854775808},"deleted":false}'
        )
        assert codec.decode(BlockKey(block.cidr), codec.encode(block)) == block

    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"cidr": "10.244.2.0/30"}, "cidr"),
            ({"allocations": [0]}, "allocations"),
            ({"allocations": [1, None, None, None]}, "allocations"),
            ({"allocations": [-1, None, None, None]}, "allocations"),
            ({"unallocated": [1, 2]}, "unallocated"),
            ({"unallocated": [1, 2, 2]}, "unallocated"),
            ({"unallocated": [0, 1, 2, 3]}, "unallocated"),
            ({"sequenceNumber": -1}, "sequenceNumber"),
            ({"sequenceNumber": 2**64}, "sequenceNumber"),
            ({"sequenceNumberForAllocation": {"4": 1}}, "sequenceNumberForAllocation[4]"),
            ({"sequenceNumberForAllocation": {"x": 1}}, "sequenceNumberForAllocation[x]"),
            ({"attributes": [{"handle_id": 5}]}, "attributes[0]"),
            ({"deleted": True}, "deleted"),
        ],
    )
    def test_a_broken_block_names_its_field(self, changes: dict[str, Any], field: str) -> None:
        answer = codec.decode(BLOCK, block_text(**changes))
        assert isinstance(answer, Invalid)
        assert answer.reason.startswith(f"{field}: ")


class TestSmallIPAMValues:
    @pytest.mark.parametrize(
        "raw", [b"", b"{}", b'{"state":""}', b'{"state":"confirmed"}', b'{"state":null}']
    )
    def test_old_affinities_are_confirmed(self, raw: bytes) -> None:
        assert codec.decode(AFFINITY, raw) == BlockAffinity(AffinityState.CONFIRMED)

    def test_an_unknown_state_is_invalid(self) -> None:
        assert isinstance(codec.decode(AFFINITY, b'{"state":"x"}'), Invalid)

    def test_handles_keep_both_versions(self) -> None:
        handle = Handle({ip_network("fd00::/122"): 1, ip_network("10.0.0.0/26"): 2})
        raw = b'{"block":{"10.0.0.0/26":2,"fd00::/122":1},"deleted":false}'
        assert codec.encode(handle) == raw
        assert codec.decode(HANDLE, raw) == handle
        assert codec.decode(HANDLE, b'{"block":null}') == Handle({})
        assert isinstance(codec.decode(HANDLE, b'{"block":{"x":1}}'), Invalid)

    def test_an_absent_auto_allocate_blocks_is_false(self) -> None:
        assert codec.decode(IPAMConfigKey(), b'{"strict_affinity":true}') == IPAMConfig(
            strict_affinity=True, auto_allocate_blocks=False
        )

    def test_our_own_values_go_round(self) -> None:
        session, status = Session("m" * 32, "n"), DaemonStatus({"a": [1, "<"]})
        assert codec.decode(SessionKey(NodeName("n")), codec.encode(session)) == session
        assert codec.decode(StatusKey(NodeName("n"), "bgp"), codec.encode(status)) == status
        assert isinstance(codec.decode(SessionKey(NodeName("n")), b"{}"), Invalid)
