"""What a lab's Kubernetes is made of, as far as it can be seen without one."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pytest
import yaml

from felix_py.install import configuration as installation
from felix_py.lab import etcd, topology_file
from felix_py.lab.errors import LabError
from felix_py.lab.home import Home
from felix_py.lab.kubernetes import (
    applied,
    binaries,
    certificates,
    cgroups,
    configuration,
    images,
    machines,
    place,
    proof,
)
from felix_py.lab.oci import PROGRAM, STICKY, Entry

CLUSTERS = ("cluster", "cluster-daemons", "cluster-plain")


@pytest.mark.parametrize("name", CLUSTERS)
def test_a_shipped_cluster_has_its_control_plane_on_one_of_its_nodes(name: str) -> None:
    lab = topology_file.load(name)
    assert place.spec(lab).control_plane in {node.name for _, node in lab.nodes}
    assert lab.daemons is not lab.applied


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("kubernetes: {controlPlane: node-z9}", "'node-z9' is not a node of this file"),
        ("kubernetes: {controlPlane: node-a1, services: 10.96.0.0/28}", "is too small"),
        ("kubernetes: {controlPlane: node-a1, services: 10.10.1.0/24}", "overlaps"),
        ("kubernetes: {controlPlane: node-a1, proxy: ipvs}", "ipvs"),
    ],
)
def test_a_cluster_that_cannot_work_is_refused_by_its_field(line: str, complaint: str) -> None:
    text = (topology_file.SHIPPED / "cluster.yaml").read_text().replace(LAST_LINE, line)
    with pytest.raises(LabError, match=complaint):
        topology_file.parse(text, "edited")


LAST_LINE = "kubernetes: {controlPlane: node-a1}"


def test_the_directory_of_the_programs_follows_from_what_they_are_made_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("kubernetes", "coredns"):
        (tmp_path / module).mkdir()
        for file in binaries.MODULE_FILES:
            (tmp_path / module / file).write_text(file)
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "pause.c").write_text("")
    monkeypatch.setattr(binaries, "SOURCES", tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    before = binaries.directory()
    assert before.is_relative_to("/somewhere/felix-py/kubernetes")
    assert binaries.directory() == before
    (tmp_path / "coredns" / "main.go").write_text("otherwise")
    assert binaries.directory() != before
    (tmp_path / "coredns" / "main.go").unlink()
    with pytest.raises(LabError, match="needs a checkout"):
        binaries.directory()


def test_every_module_of_kubernetes_has_the_version_that_its_binary_says() -> None:
    said = binaries._version_flags()
    lines = (binaries.SOURCES / "kubernetes" / "go.mod").read_text().splitlines()
    replaced = {line.rpartition(" v0")[2] for line in lines if " => k8s.io/" in line}
    assert len(replaced) == 1
    assert f"gitVersion=v1{replaced.pop()}" in said


def test_an_image_is_the_same_whenever_it_is_made_and_says_what_runs() -> None:
    tree = {"pause": Entry(b"x", PROGRAM), "bin/sh": Entry("pause"), "tmp": Entry(None, STICKY)}
    made = images.archive("docker.io/x/y:1", tree, "/pause")
    assert made == images.archive("docker.io/x/y:1", dict(reversed(tree.items())), "/pause")
    with tarfile.open(fileobj=io.BytesIO(made)) as archive:
        manifest = json.load(archive.extractfile("manifest.json") or io.BytesIO())
        about = json.load(archive.extractfile(manifest[0]["Config"]) or io.BytesIO())
    assert manifest[0]["RepoTags"] == ["docker.io/x/y:1"]
    assert about["config"]["Entrypoint"] == ["/pause"]


def test_every_kubelet_is_who_its_certificate_says_and_serves_its_own_address() -> None:
    lab = topology_file.load("cluster")
    made = {each.name: each for each in certificates.wanted(lab)}
    kubelet = made[certificates.kubelet("node-b1")]
    assert kubelet.subject == "/O=system:nodes/CN=system:node:node-b1"
    assert "IP:10.10.2.11" in kubelet.alternative
    server = made[certificates.API_SERVER]
    assert {"IP:10.96.0.1", "IP:10.10.1.11"} <= set(server.alternative)


def test_the_control_plane_is_tainted_where_the_topology_says_so() -> None:
    plain = topology_file.load("cluster-plain")
    tainted = [
        node.name
        for _, node in plain.nodes
        if any("taints" in word for word in configuration.kubelet(plain, node.name))
    ]
    assert tainted == ["node-1"]
    assert not any(
        "taints" in word for word in configuration.kubelet(topology_file.load("cluster"), "node-a1")
    )


def test_kubelets_share_no_control_group_and_touch_no_limit_of_the_host() -> None:
    lab = topology_file.load("cluster")
    roots = {
        configuration.kubelet_document(lab, node.name, f"x-{node.name}")["cgroupRoot"]
        for _, node in lab.nodes
    }
    assert len(roots) == len(lab.nodes)
    document = configuration.kubelet_document(lab, "node-a1", "x")
    assert document["protectKernelDefaults"]
    proxy = configuration.proxy_document(lab, "node-a1", "nftables")
    assert set(proxy["conntrack"].values()) == {0, "0s"}


def test_the_manifests_are_yaml_with_the_values_put_in() -> None:
    made = list(yaml.safe_load_all(proof.manifest("coredns", {"DNS_SERVICE": "10.96.0.10"})))
    assert made[-1]["spec"]["clusterIP"] == "10.96.0.10"
    made = list(yaml.safe_load_all(proof.manifest("answer", {"REPLICAS": 60})))
    assert made[1]["spec"]["replicas"] == 60


def test_groups_are_found_by_the_labs_name_alone_and_children_come_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cgroups, "MOUNTED", tmp_path)
    for group in ("cpu/x-one/kubepods/pod1", "cpu/xy-two", "memory/x-one", "notes"):
        (tmp_path / group).mkdir(parents=True)
    for top in ("cpu", "memory"):
        (tmp_path / top / "cgroup.procs").write_text("")
    found = [str(group.relative_to(tmp_path)) for group in cgroups.groups("x-")]
    assert found == ["cpu/x-one/kubepods/pod1", "cpu/x-one/kubepods", "cpu/x-one", "memory/x-one"]


def test_a_machine_that_is_no_node_has_the_programs_and_nothing_of_a_kubelets(
    tmp_path: Path,
) -> None:
    lab = topology_file.load("cluster")
    home = Home("x", tmp_path)
    router = machines.furnishing(home, lab, "tor-a")
    assert set(router.binds) == {place.BINARIES}
    assert not router.runtime
    node = machines.furnishing(home, lab, "node-b1")
    assert {"/var/lib/kubelet", "/etc/cni", "/proc/sys/kernel/panic"} <= set(node.binds)
    assert node.runtime


def test_our_manifest_gets_the_pools_and_peers_of_the_topology_and_all_of_it_can_be_installed() -> (
    None
):
    lab = topology_file.load("cluster")
    found = list(yaml.safe_load_all(applied.manifest(lab)))
    (made,) = [each for each in found if (each["kind"], each["metadata"]["name"]) == applied.CONFIG]
    seeds = installation.parse(made["data"], "the lab").seeds
    named = {(document.key.kind.value, document.key.name) for document in seeds}
    assert {("ippools", "pods"), ("bgppeers", "tor-a"), ("bgppeers", "tor-b")} <= named
    pools = {pool["name"]: pool for pool in yaml.safe_load(made["data"]["pools"])}
    assert pools["pods"]["cidr"] == "10.244.0.0/16"
    assert made["data"]["log_level"] == "info"


def test_the_etcd_that_a_manifest_brings_is_reached_with_its_administrators_certificate(
    tmp_path: Path,
) -> None:
    lab, home = topology_file.load("cluster"), Home("x", tmp_path)
    assert lab.store_inside
    assert etcd.machine(lab) == "node-a1"
    reached = etcd.access(home, lab)
    assert reached.endpoint == "https://10.10.1.11:12379"
    assert reached.cert_file == str(tmp_path / "kubernetes" / "etcd" / "tls.crt")
    daemons = topology_file.load("cluster-daemons")
    assert etcd.machine(daemons) == "etcd"
    assert etcd.access(home, daemons).endpoint.startswith("http://172.31.")


def test_a_manifest_takes_the_daemons_place_and_needs_a_kubernetes() -> None:
    lab = topology_file.load("cluster-daemons")
    changed = lab.with_manifests(["felix-py.tar"], ["felix-py.yaml"])
    assert lab.daemons
    assert not changed.daemons
    assert changed.has_network
    assert not lab.with_manifests(["felix-py.tar"], []).has_network
    assert lab.with_manifests([], []) is lab
    with pytest.raises(LabError, match="has no Kubernetes"):
        topology_file.load("default").with_manifests([], ["felix-py.yaml"])
