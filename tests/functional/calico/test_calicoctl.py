"""Calico's own calicoctl and felixctl on one store: each reads, changes and keeps what the other wrote."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.functional.ctl.test_felixctl import Felixctl
from tests.support.calico import Calico
from tests.support.etcd import EtcdServer

pytestmark = [pytest.mark.etcd, pytest.mark.timeout(1500)]

OBJECTS: dict[str, dict[str, Any]] = {
    "IPPool/main": {"cidr": "10.244.0.0/24", "blockSize": 28, "natOutgoing": True},
    "IPReservation/few": {"reservedCIDRs": ["10.244.0.0/30"]},
    "Node/worker-1": {"bgp": {"ipv4Address": "192.0.2.1/24", "asNumber": 65010}},
    "BGPConfiguration/default": {"asNumber": 64513, "nodeToNodeMeshEnabled": False},
    "BGPPeer/tor": {"peerIP": "192.0.2.254", "asNumber": 65001, "nodeSelector": "rack == 'r1'"},
    "BGPFilter/some": {
        "exportV4": [{"action": "Accept", "matchOperator": "In", "cidr": "10.244.0.0/16"}]
    },
    "FelixConfiguration/default": {"logSeverityScreen": "Warning", "floatingIPs": "Enabled"},
    "HostEndpoint/eth0": {
        "node": "worker-1",
        "interfaceName": "eth0",
        "expectedIPs": ["192.0.2.1"],
    },
    "GlobalNetworkSet/blocked": {"nets": ["198.51.100.0/24"]},
    "Tier/platform": {"order": 10},
}
"""Kind and name to spec."""


def document(name: str, spec: dict[str, Any]) -> dict[str, Any]:
    kind, _, plain = name.partition("/")
    head = {"apiVersion": "projectcalico.org/v3", "kind": kind, "metadata": {"name": plain}}
    return head | {"spec": spec}


ALL = yaml.safe_dump_all(document(name, spec) for name, spec in OBJECTS.items())


@pytest.fixture
def felixctl(tmp_path: Path, etcd: EtcdServer) -> Felixctl:
    made = Felixctl(tmp_path, etcd)
    made("init")
    return made


def essence(found: dict[str, Any]) -> tuple[Any, ...]:
    """What both say alike of an object: calicoctl adds defaults when it reads."""
    meta = found["metadata"]
    return found["kind"], meta["name"], meta["uid"], meta["creationTimestamp"], meta.get("labels")


def same(theirs: dict[str, Any], ours: dict[str, Any]) -> bool:
    """One object, and nothing of what we show is otherwise there."""
    shown = {name: theirs["spec"].get(name) for name in ours["spec"]}
    return essence(theirs) == essence(ours) and shown == ours["spec"]


@pytest.mark.parametrize("writer", ["felixctl", "calicoctl"])
def test_what_one_writes_both_read_alike(felixctl: Felixctl, calico: Calico, writer: str) -> None:
    write = felixctl if writer == "felixctl" else calico.ctl
    write("apply", "-f", "-", stdin=ALL)
    for name, spec in OBJECTS.items():
        kind, _, plain = name.partition("/")
        theirs = calico.json("get", kind, plain)
        theirs = theirs[0] if isinstance(theirs, list) else theirs
        ours = felixctl.json("get", kind, plain)
        assert same(theirs, ours), (theirs, ours)
        assert {key: ours["spec"].get(key) for key in spec} == spec


def test_each_changes_and_deletes_what_the_other_wrote(felixctl: Felixctl, calico: Calico) -> None:
    felixctl("apply", "-f", "-", stdin=ALL)
    calico.ctl("patch", "ippool", "main", "-p", '{"spec": {"natOutgoing": false}}')
    calico.ctl("label", "nodes", "worker-1", "rack=r1")
    calico.ctl("delete", "bgppeer", "tor")
    assert not felixctl.json("get", "ippool", "main")["spec"].get("natOutgoing", False)
    assert felixctl.json("get", "node", "worker-1")["metadata"]["labels"] == {"rack": "r1"}
    felixctl("get", "bgppeer", "tor", status=1)
    felixctl("patch", "ippool", "main", "-p", '{"spec": {"natOutgoing": true}}')
    felixctl("label", "node", "worker-1", "rack=r2", "--overwrite")
    assert "rack=r2" in calico.ctl("get", "node", "worker-1", "-o", "yaml").replace(": ", "=")
    assert calico.json("get", "ippool", "main")["spec"]["natOutgoing"] is True
    felixctl("delete", "bgpfilter", "some")
    assert "some" not in calico.ctl("get", "bgpfilters")


def test_calicoctl_shows_and_releases_an_address_that_we_gave(
    felixctl: Felixctl, etcd: EtcdServer, calico: Calico
) -> None:
    felixctl("apply", "-f", "-", stdin=ALL)
    pool = document("IPPool/lb", {"cidr": "10.250.0.0/28", "blockSize": 30})
    pool["spec"]["allowedUses"] = ["LoadBalancer"]
    felixctl("apply", "-f", "-", stdin=json.dumps(pool))
    said = felixctl("ipam", "assign", "--service", "default/web", "--uid", "u1")
    address, handle = said.split()[0], said.split()[-1]
    shown = calico.ctl("ipam", "show", f"--ip={address}")
    assert f"IP {address} is in use" in shown
    assert "service:web" in shown.replace(" ", "")
    assert handle in etcd.dump("/calico/ipam/v2/handle/" + handle).popitem()[0]
    calico.ctl("ipam", "release", f"--ip={address}")
    assert "is not assigned" in calico.ctl("ipam", "show", f"--ip={address}")
    assert "nothing" in felixctl("ipam", "check", "--no-kernel")


def test_both_configure_ipam_and_a_datastore_that_calicoctl_locks_gives_nothing_out(
    felixctl: Felixctl, calico: Calico
) -> None:
    felixctl("apply", "-f", "-", stdin=ALL)
    calico.ctl("ipam", "configure", "--strictaffinity=true")
    assert "true" in felixctl("ipam", "configure")
    felixctl("ipam", "configure", "--max-blocks-per-host", "7")
    shown = calico.ctl("ipam", "show", "--show-configuration").replace(" ", "")
    assert "|StrictAffinity|true|" in shown
    assert "|MaxBlocksPerHost|7|" in shown
    calico.ctl("datastore", "migrate", "lock")
    asked = ("ipam", "assign", "--service", "default/web", "--uid", "u1")
    assert "not ready" in felixctl(*asked, status=1)
    calico.ctl("ipam", "split", "2", "--cidr=10.244.0.0/24")
    calico.ctl("datastore", "migrate", "unlock")
    assert len(felixctl.json("get", "ippool")["items"]) == 2
    assert "LoadBalancer" in felixctl(*asked, status=1)
