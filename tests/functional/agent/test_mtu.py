"""felix finds how large pods' packets may be, tells the CNI server, and names pods that differ."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.functional.agent.felix_node import FelixNode

pytestmark = [pytest.mark.root, pytest.mark.etcd]

PLAIN = {"cidr": "10.244.0.0/16", "ipipMode": "Never", "vxlanMode": "Never", "blockSize": 26}


def written(node: FelixNode) -> int | None:
    """What the CNI server would read."""
    file = node.directory / "state" / "mtu"
    return int(file.read_text("ascii")) if file.exists() else None


def pod(node: FelixNode, link: str, *, mtu: int, fixed: int = 0) -> None:
    """A pod's link and its record, as the CNI server leaves them."""
    alias = f"net.{link}"
    records = node.directory / "run" / "endpoints"
    records.mkdir(parents=True, exist_ok=True)
    record = {
        "hostLink": link,
        "handle": alias,
        "addresses": ["10.244.0.9"],
        "containerId": link,
        "namespace": "web",
        "pod": f"pod-{link}",
        "mtu": fixed,
    }
    (records / f"{link}.json").write_text(json.dumps(record), "utf-8")
    node.pod_link(link, alias)
    node.ip("link", "set", link, "mtu", str(mtu))


def report(node: FelixNode) -> dict[str, Any]:
    found = node.status["mtu"]
    assert isinstance(found, dict)
    return found


def test_pods_mtu_follows_pools_configuration_and_the_uplink(node: FelixNode) -> None:
    node.start()
    node.until(lambda: written(node) == 1500)
    node.put_resource("ippools/p", "IPPool", {**PLAIN, "ipipMode": "CrossSubnet"})
    node.until(lambda: written(node) == 1480)
    node.until(lambda: report(node)["tunnels"] == {"ipip": 1480})
    node.put_resource("felixconfigurations/default", "FelixConfiguration", {"ipipMTU": 1400})
    node.until(lambda: written(node) == 1400)
    node.ip("link", "set", "eth0", "mtu", "1300")
    node.until(lambda: written(node) == 1300)
    node.until(lambda: report(node)["host"] == 1300)
    node.put_resource("ippools/p", "IPPool", PLAIN)
    node.ip("link", "set", "eth0", "mtu", "9000")
    node.until(lambda: written(node) == 9000)
    node.put_resource(
        "felixconfigurations/node.worker-1", "FelixConfiguration", {"mtuIfacePattern": "^lo$"}
    )
    node.until(lambda: written(node) == 65535)


def test_pods_that_are_too_large_are_named_until_they_are_right(node: FelixNode) -> None:
    pod(node, "cali0001", mtu=1500)
    pod(node, "cali0002", mtu=1400)
    pod(node, "cali0003", mtu=1300, fixed=1300)
    node.start()
    node.until(lambda: [each["link"] for each in report(node)["pods"]] == ["cali0002"])
    assert not any("MTU" in text for text in node.status["warnings"])
    node.put_resource("ippools/p", "IPPool", {**PLAIN, "vxlanMode": "Always"})
    node.until(lambda: report(node)["differing"] == 2)
    [warning] = [text for text in node.status["warnings"] if "MTU" in text]
    assert "web/pod-cali0001 on cali0001 has MTU 1500, 1450 is right" in warning
    node.stop()
    node.start()
    node.until(lambda: report(node)["differing"] == 2)
    for link in ("cali0001", "cali0002"):
        node.ip("link", "set", link, "mtu", "1450")
    node.until(lambda: report(node)["pods"] == [])
    assert not any("MTU" in text for text in node.status["warnings"])


def test_without_an_uplink_the_assumption_is_said(node: FelixNode) -> None:
    node.ip("link", "set", "eth0", "name", "tor9", "down")
    node.ip("link", "set", "tor9", "up")
    node.start()
    node.until(lambda: written(node) == 1460)
    node.until(lambda: any("mtuIfacePattern" in text for text in node.status["warnings"]))


def test_a_file_that_cannot_be_written_is_said_and_tried_again(node: FelixNode) -> None:
    file = node.directory / "state" / "mtu"
    (file / "in-the-way").mkdir(parents=True)
    node.start()
    node.until(lambda: any("cannot be written" in text for text in node.status["warnings"]))
    (file / "in-the-way").rmdir()
    file.rmdir()
    node.until(lambda: written(node) == 1500, 12)
