"""felixctl as people run it, on a real etcd, with etcdctl as the witness."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from felix_py.runtime import status_file
from tests.support import netns
from tests.support.etcd import EtcdServer

pytestmark = pytest.mark.etcd

RESOURCES = "/calico/resources/v3/projectcalico.org/"
POOL = """
apiVersion: projectcalico.org/v3
kind: IPPool
metadata:
  name: main
spec:
  cidr: 10.244.0.0/16
  natOutgoing: true
"""


class Felixctl:
    """Runs the command with a configuration file of its own."""

    def __init__(self, directory: Path, etcd: EtcdServer) -> None:
        self.directory = directory
        self.config = directory / "felix-py.yaml"
        settings = {
            "node": {
                "name": "worker-1",
                "runDir": str(directory / "run"),
                "stateDir": str(directory / "state"),
            },
            "datastore": {"endpoints": [etcd.endpoint], "timeoutSeconds": 2},
        }
        self.config.write_text(json.dumps(settings), "utf-8")

    def __call__(self, *arguments: str, stdin: str = "", status: int = 0, inside: str = "") -> str:
        """Its output (with what it complained of, when a status is expected)."""
        script = "from felix_py.ctl.main import main; main()"
        argv = [sys.executable, "-c", script, "--config", str(self.config), *arguments]
        done = subprocess.run(
            netns.command(inside, *argv) if inside else argv,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env={name: value for name, value in os.environ.items() if name != "COLUMNS"},
        )
        assert done.returncode == status, done.stdout + done.stderr
        assert status or not done.stderr, done.stderr
        return done.stdout + done.stderr

    def json(self, *arguments: str) -> Any:
        return json.loads(self(*arguments, "-o", "json"))


@pytest.fixture
def felixctl(tmp_path: Path, etcd: EtcdServer) -> Felixctl:
    return Felixctl(tmp_path, etcd)


def stored(etcd: EtcdServer, path: str) -> dict[str, Any]:
    loaded = json.loads(etcd.dump(RESOURCES + path)[RESOURCES + path])
    assert isinstance(loaded, dict)
    return loaded


def test_init_twice_and_version(felixctl: Felixctl, etcd: EtcdServer) -> None:
    assert "not initialised" in felixctl("version")
    assert "ClusterInformation(default)" in felixctl("init", "--cluster-type", "k8s,bgp")
    assert felixctl("init") == "the datastore was initialised before\n"
    assert set(etcd.dump()) == {
        "/calico/ipam/v2/config",
        *(
            RESOURCES + name
            for name in (
                "clusterinformations/default",
                "tiers/default",
                "tiers/kube-admin",
                "tiers/kube-baseline",
            )
        ),
    }
    assert stored(etcd, "clusterinformations/default")["spec"]["clusterType"] == "k8s,bgp"
    assert "k8s,bgp" in felixctl("version")


def test_a_pool_from_standard_input_to_etcd_and_back(felixctl: Felixctl, etcd: EtcdServer) -> None:
    assert felixctl("apply", "-f", "-", stdin=POOL) == "IPPool(main) created\n"
    spec = stored(etcd, "ippools/main")["spec"]
    assert (spec["blockSize"], spec["nodeSelector"]) == (26, "all()")
    assert "resourceVersion" not in stored(etcd, "ippools/main")["metadata"]
    for word in ("ippool", "ippools", "pool", "IPPool"):
        assert "10.244.0.0/16" in felixctl("get", word)
    assert felixctl("get", "pool", "-o", "name") == "ippools/main\n"
    assert "CrossSubnet" not in felixctl("get", "pool", "-o", "wide")
    shown = yaml.safe_load(felixctl("get", "pool", "main", "-o", "yaml"))
    assert shown["metadata"]["resourceVersion"].isdigit()
    again = felixctl("get", "pool", "-o", "yaml")
    assert felixctl("apply", "-f", "-", stdin=again) == "IPPool(main) unchanged\n"
    assert felixctl.json("get", "pool")["items"][0]["spec"] == spec


def test_errors_are_one_sentence_and_write_nothing(felixctl: Felixctl, etcd: EtcdServer) -> None:
    wrong = POOL.replace("10.244.0.0/16", "10.244.0.1/16")
    told = felixctl("apply", "-f", "-", stdin=wrong, status=1)
    assert told.startswith("felixctl: IPPool(main): spec.cidr:")
    assert told.count("\n") == 1
    assert etcd.dump() == {}
    assert "not there" in felixctl("get", "pool", "none", status=1)
    assert "no such field" in felixctl(
        "create", "-f", "-", stdin=POOL.replace("natOut", "natIn"), status=1
    )
    felixctl("get", status=2)


def test_an_edit_with_etcdctl_in_between_is_a_conflict(
    felixctl: Felixctl, etcd: EtcdServer
) -> None:
    felixctl("apply", "-f", "-", stdin=POOL)
    shown = felixctl("get", "pool", "main", "-o", "yaml")
    key = f"{RESOURCES}ippools/main"
    etcd.put(key, etcd.dump(key)[key].replace('"natOutgoing":true,', ""))
    told = felixctl("apply", "-f", "-", stdin=shown, status=1)
    assert "resourceVersion" in told
    assert "natOutgoing" not in stored(etcd, "ippools/main")["spec"]


def test_labels_peers_nodes_and_endpoints(felixctl: Felixctl, etcd: EtcdServer) -> None:
    documents = """
apiVersion: projectcalico.org/v3
kind: Node
metadata: {name: worker-1}
spec: {bgp: {ipv4Address: 192.168.50.11/24, asNumber: 65001}}
---
apiVersion: projectcalico.org/v3
kind: BGPPeer
metadata: {name: tor}
spec: {nodeSelector: rack == 'a' && has(bgp), peerIP: 192.0.2.1, asNumber: 65000}
---
apiVersion: projectcalico.org/v3
kind: BGPConfiguration
metadata: {name: default}
spec: {asNumber: 64512, nodeToNodeMeshEnabled: false}
---
apiVersion: projectcalico.org/v3
kind: IPReservation
metadata: {name: rsv}
spec: {reservedCIDRs: [10.244.0.0/31, 10.244.0.9]}
---
apiVersion: projectcalico.org/v3
kind: WorkloadEndpoint
metadata: {namespace: default}
spec: {orchestrator: k8s, node: worker-1, pod: nginx-1, endpoint: eth0, containerID: abc,
  ipNetworks: [10.244.0.7/32], interfaceName: cali0123456789a}
"""
    assert felixctl("create", "-f", "-", stdin=documents).count("created") == 5
    felixctl("label", "node", "worker-1", "rack=a")
    assert stored(etcd, "nodes/worker-1")["metadata"]["labels"] == {"rack": "a"}
    raw = etcd.dump(RESOURCES)[f"{RESOURCES}bgppeers/tor"]
    assert r"rack == 'a' \u0026\u0026 has(bgp)" in raw
    endpoint = stored(etcd, "workloadendpoints/default/worker--1-k8s-nginx--1-eth0")
    assert endpoint["metadata"]["labels"]["projectcalico.org/orchestrator"] == "k8s"
    assert "nginx-1" in felixctl("get", "wep", "-A")
    assert "192.168.50.11/24" in felixctl("get", "nodes", "-o", "wide")
    assert felixctl("delete", "peer", "tor") == "BGPPeer(tor) deleted\n"
    felixctl("delete", "wep", "worker--1-k8s-nginx--1-eth0")
    felixctl("delete", "node", "worker-1")
    assert "nodes/worker-1" not in " ".join(etcd.dump(RESOURCES))


def test_a_folder_is_applied_and_deleted(
    felixctl: Felixctl, etcd: EtcdServer, tmp_path: Path
) -> None:
    folder = tmp_path / "yaml"
    folder.mkdir()
    (folder / "a.yaml").write_text(POOL, "utf-8")
    (folder / "b.yml").write_text(POOL.replace("main", "six").replace("10.244.0.0/16", "fd00::/64"))
    assert felixctl("apply", "-f", str(folder)).count("created") == 2
    assert stored(etcd, "ippools/six")["spec"]["blockSize"] == 122
    assert felixctl("delete", "-f", str(folder)).count("deleted") == 2
    assert etcd.dump(f"{RESOURCES}ippools/") == {}


def test_an_invalid_object_is_shown_by_name_and_reason(
    felixctl: Felixctl, etcd: EtcdServer
) -> None:
    felixctl("apply", "-f", "-", stdin=POOL)
    etcd.put(f"{RESOURCES}ippools/broken", '{"metadata":{"name":"broken"},"spec":{"cidr":"x"}}')
    shown = felixctl("get", "pool")
    assert "INVALID: spec.cidr" in shown
    assert "10.244.0.0/16" in shown


BLOCK = {
    "cidr": "10.244.0.0/26",
    "affinity": "host:worker-1",
    "allocations": [0, *[None] * 63],
    "unallocated": list(range(1, 64)),
    "attributes": [
        {
            "handle_id": "k8s-pod-network.abc",
            "secondary": {"namespace": "default", "node": "worker-1", "pod": "web"},
        }
    ],
    "sequenceNumber": 5,
    "sequenceNumberForAllocation": {"0": 4},
    "deleted": False,
}


def put_block(etcd: EtcdServer) -> None:
    etcd.put("/calico/ipam/v2/assignment/ipv4/block/10.244.0.0-26", json.dumps(BLOCK))
    etcd.put(
        "/calico/ipam/v2/host/worker-1/ipv4/block/10.244.0.0-26",
        '{"state":"confirmed","deleted":false}',
    )


def test_ipam_show_says_how_full_and_who(felixctl: Felixctl, etcd: EtcdServer) -> None:
    felixctl("apply", "-f", "-", stdin=POOL)
    put_block(etcd)
    (row,) = felixctl.json("ipam", "show")
    assert (row["pool"], row["blocks"], row["in use"]) == ("main", "1", "1")
    assert "default/web" in felixctl("ipam", "show", "--node", "worker-1")
    assert "default/web" in felixctl("ipam", "show", "--block", "10.244.0.0/26")
    assert "k8s-pod-network.abc" in felixctl("ipam", "show", "--ip", "10.244.0.0")
    assert "free" in felixctl("ipam", "show", "--ip", "10.244.0.1")


def test_ipam_check_finds_a_leak_and_says_nothing_when_all_is_well(
    felixctl: Felixctl, etcd: EtcdServer
) -> None:
    felixctl("init")
    assert "nothing is wrong" in felixctl("ipam", "check")
    felixctl("apply", "-f", "-", stdin=POOL)
    put_block(etcd)
    assert "leaked address" in felixctl("ipam", "check", status=2)


def test_deleting_a_pool_frees_its_empty_blocks_and_keeps_those_in_use(
    felixctl: Felixctl, etcd: EtcdServer
) -> None:
    felixctl("apply", "-f", "-", stdin=POOL)
    put_block(etcd)
    felixctl("delete", "pool", "main")
    left = etcd.dump("/calico/ipam/v2/")
    assert list(left) == ["/calico/ipam/v2/assignment/ipv4/block/10.244.0.0-26"]
    assert json.loads(next(iter(left.values())))["affinity"] is None


def test_status_reads_files_with_etcd_away_and_names_what_is_wrong(felixctl: Felixctl) -> None:
    told = felixctl("status", status=2)
    assert "! felix is not running" in told
    fine = {"inSync": True, "connected": True, "frozen": None, "revision": 1}
    for daemon in ("felix", "bgp", "cni"):
        document = {"pid": os.getpid(), "store": fine, "warnings": [], "invalid": []}
        status_file.write(str(felixctl.directory / "run"), daemon, document)
    assert "nothing is wrong" in felixctl("status")
    shown = json.loads(felixctl("status", "-o", "json"))
    assert {name: d["state"] for name, d in shown["daemons"].items()} == {
        "felix": "ok",
        "bgp": "ok",
        "cni": "ok",
    }


def test_status_of_the_fleet_comes_from_etcd(felixctl: Felixctl, etcd: EtcdServer) -> None:
    fine = {"inSync": True, "connected": True, "frozen": None}
    for daemon in ("felix", "bgp", "cni"):
        document = {"pid": 1, "store": fine, "warnings": [], "invalid": []}
        etcd.put(f"/felix-py/v1/nodes/worker-2/status/{daemon}", json.dumps(document))
    etcd.put("/felix-py/v1/nodes/worker-3/status/felix", json.dumps({"store": fine}))
    told = felixctl("status", "--all", status=2)
    assert "worker-2" in told
    assert "! worker-3: bgp is not running" in told


def test_etcd_away_is_one_sentence(felixctl: Felixctl) -> None:
    settings = json.loads(felixctl.config.read_text("utf-8"))
    settings["datastore"] = {"endpoints": ["http://127.0.0.1:1"], "timeoutSeconds": 1}
    felixctl.config.write_text(json.dumps(settings), "utf-8")
    told = felixctl("get", "pool", status=1)
    assert told.startswith("felixctl: etcd does not answer")
    assert told.count("\n") == 1
