from __future__ import annotations

import json
from ipaddress import ip_address
from pathlib import Path

import pytest

from cni import answers
from cni.answers import Attachment
from cni.errors import UNEXPECTED, BadEnvironment, TryAgain, code_of
from cni.netconf import Dns
from felix_py.datastore.errors import StoreAway, StoreWentBack
from ipam.errors import Frozen, GaveUp, PoolExhausted

GOLDEN = Path(__file__).parents[2] / "golden" / "cni"
ATTACHMENT = Attachment(
    host_link="cali7fcc33642a0",
    ifname="eth0",
    mac="0e:65:ab:cd:ef:01",
    mtu=1500,
    netns="/var/run/netns/x",
    addresses=(ip_address("10.244.1.7"), ip_address("fd00::7")),
)


@pytest.mark.parametrize("version", ["0.3.1", "0.4.0", "1.0.0"])
def test_the_result_has_the_form_of_its_version(version: str) -> None:
    answer = answers.result(ATTACHMENT, version, Dns())
    expected = json.loads((GOLDEN / f"result-{version}.json").read_text("utf-8"))
    assert json.loads(answer.text) == expected
    assert answer.exit_code == 0


def test_an_error_has_the_specifications_fields() -> None:
    answer = answers.failure(BadEnvironment("CNI_IFNAME: bad"), "0.4.0")
    expected = json.loads((GOLDEN / "error.json").read_text("utf-8"))
    assert json.loads(answer.text) == expected
    assert answer.exit_code == 1


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (StoreAway("x"), 11),
        (Frozen("x"), 11),
        (GaveUp("x"), 11),
        (TryAgain("x"), 11),
        (StoreWentBack("x"), 11),
        (PoolExhausted("x"), 101),
        (ValueError("x"), UNEXPECTED),
    ],
)
def test_every_kind_of_error_has_its_code(error: Exception, code: int) -> None:
    assert code_of(error) == code


def test_the_text_of_an_unexpected_error_stays_inside() -> None:
    answer = answers.failure(ValueError("password=x"), "1.0.0")
    assert b"password" not in answer.text


def test_addresses_of_any_results_shape_are_read() -> None:
    assert answers.addresses_of({"ips": [{"address": "10.0.0.1/32"}, 5]}) == ["10.0.0.1/32"]
    assert answers.addresses_of({"ips": 5}) == []
