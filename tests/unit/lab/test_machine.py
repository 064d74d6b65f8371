"""What a machine is made of, as text; booting one needs root and is shown elsewhere."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from felix_py.lab import bring_up, machine, node, topology_file
from felix_py.lab.errors import LabError
from felix_py.lab.etcd import Access
from felix_py.lab.home import Home
from felix_py.lab.machine import boot_script


def test_the_boot_script_is_shell_and_ends_by_becoming_the_keeper(tmp_path: Path) -> None:
    home = Home("felab", tmp_path / "it's here")
    script = boot_script(home, "node-a1")
    subprocess.run(["sh", "-n", "-c", script], check=True)
    assert script.splitlines()[-1].startswith("exec ")
    assert "hostname node-a1" in script


def test_a_machines_programs_get_nothing_of_the_callers_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FELIX_PY_NODE_NAME", "somebody")
    assert "FELIX_PY_NODE_NAME" not in machine.environment()


def test_a_lab_below_a_directory_that_machines_overlay_is_refused() -> None:
    with pytest.raises(LabError, match="cannot lie below /var/lib"):
        Home("felab", Path("/var/lib/felix-lab")).make()


def configuration(name: str) -> dict[str, Any]:
    lab = topology_file.load(name)
    return node.configuration(lab, lab.racks[0], Access("http://172.31.0.1:2379"))


def test_a_nodes_configuration_names_etcd_and_nothing_of_the_lab() -> None:
    assert configuration("default") == {
        "datastore": {"endpoints": ["http://172.31.0.1:2379"]},
        "log": {"level": "info", "form": "json"},
        "cni": {"binDir": "/opt/cni/bin", "confDir": "/etc/cni/net.d"},
    }


def test_a_nodes_configuration_asks_for_ipv6_where_its_rack_has_it() -> None:
    asked = configuration("dual-stack")
    assert asked["felix"] == {"ipv6Address": "auto"}
    assert asked["cni"]["assignIpv6"] is True


def test_a_nodes_configuration_names_a_backend_that_is_not_bgp() -> None:
    assert configuration("vxlan")["node"] == {"backend": "vxlan"}


def test_without_root_it_says_so_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(LabError, match=r"needs root.*sudo") as caught:
        bring_up.check_host()
    assert "\n" not in str(caught.value)


def test_a_machine_with_a_container_runtime_keeps_its_pods_namespaces_to_itself(
    tmp_path: Path,
) -> None:
    home = Home("felab", tmp_path)
    furnishing = machine.Furnishing({"/var/lib/kubelet": "/somewhere/it's"}, runtime=True)
    script = boot_script(home, "node-a1", furnishing)
    subprocess.run(["sh", "-n", "-c", script], check=True)
    assert "/run/netns" not in script
    assert script.index("/var/lib/kubelet") < script.index("make-rshared") < script.index("exec ")
    assert "make-rshared" not in boot_script(home, "node-a1")
