"""An address for a Service on a real etcd: asked for, shown, found right, given back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.functional.ctl.test_felixctl import Felixctl
from tests.support.etcd import EtcdServer

pytestmark = pytest.mark.etcd

POOL = """
apiVersion: projectcalico.org/v3
kind: IPPool
metadata:
  name: services
spec:
  cidr: 10.250.0.0/28
  blockSize: 30
  allowedUses: [LoadBalancer]
"""
WEB = ("--service", "default/web", "--uid", "5f2b")
IPAM = "/calico/ipam/v2/"


@pytest.fixture
def felixctl(tmp_path: Path, etcd: EtcdServer) -> Felixctl:
    made = Felixctl(tmp_path, etcd)
    made("init")
    made("apply", "-f", "-", stdin=POOL)
    return made


def affinities(etcd: EtcdServer) -> dict[str, Any]:
    return {key: json.loads(value) for key, value in etcd.dump(f"{IPAM}virtual/").items()}


def test_a_service_holds_an_address_until_it_is_released(
    felixctl: Felixctl, etcd: EtcdServer
) -> None:
    said = felixctl("ipam", "assign", *WEB)
    address, handle = said.split()[0], said.split()[-1]
    assert said == f"{address} for service default/web, handle {handle}\n"
    assert felixctl("ipam", "assign", *WEB) == said
    ((key, value),) = affinities(etcd).items()
    assert key.startswith(f"{IPAM}virtual/load-balancer/ipv4/block/10.250.0.")
    assert value == {"state": "confirmed", "deleted": False}
    shown = felixctl("ipam", "show", "--ip", address)
    assert "web" in shown
    assert handle in shown
    assert "nothing" in felixctl("ipam", "check", "--no-kernel")
    assert address in felixctl("ipam", "release", "--handle", handle)
    assert f"{IPAM}handle/{handle}" not in etcd.dump(f"{IPAM}handle/")


def test_what_cannot_be_given_is_refused_in_a_sentence(
    felixctl: Felixctl, etcd: EtcdServer
) -> None:
    before = etcd.dump(IPAM)
    for arguments, why in (
        (("--service", "web", "--uid", "u"), "is not NAMESPACE/NAME"),
        ((*WEB, "--family", "5"), "--family '5'"),
        ((*WEB, "--ip", "10.250.1.1"), "not in a configured pool"),
        ((*WEB, "--pool", "none"), "none"),
        (("--service", "default/web", "--uid", ""), "uid is missing"),
    ):
        assert why in felixctl("ipam", "assign", *arguments, status=1)
    assert etcd.dump(IPAM) == before
