"""containerd attaches real containers by our conflist, and removes them without a trace.

Their ids share eleven characters, which is all that Calico's name of a host interface takes from a
container's id where there is no Kubernetes.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from tests.e2e.truth import Etcd, read_etcd
from tests.support.containerd import NAMESPACE, Containerd
from tests.support.lab import Lab, eventually, in_netns

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.timeout(300)]

NODE = "node-a2"
FAR = "node-b1"
SHARED = 11
"""Calico v3.32 `libcalico-go/lib/backend/k8s/conversion`: `cali` and the id's first eleven."""


RECORDS, RESULTS = "/run/felix-py/endpoints/", "/var/lib/cni/"
"""Where felix-cni notes an attachment, and where the runtime does."""
LOOK = (
    "ip -j link && ip -j route show table all && ip -j neigh && "
    f"find {RECORDS} {RESULTS} -type f 2>/dev/null || true"
)


class Planted(Exception):
    """What a test that fails in the middle looks like to the daemon's context."""


@pytest.fixture(scope="module")
def daemon(default_lab: Lab) -> Iterator[Containerd]:
    with Containerd(default_lab.inside(NODE)) as running:
        yield running
    assert not running.leftovers()


def twins() -> tuple[str, str]:
    """Two ids that share their first eleven characters."""
    stem = secrets.token_hex(6)[:SHARED]
    return f"{stem}0{secrets.token_hex(4)}", f"{stem}1{secrets.token_hex(4)}"


def cni_id(container_id: str) -> str:
    """What ctr gives to CNI as the container's id."""
    return f"{NAMESPACE}-{container_id}"


def calicos_name(cni_container_id: str) -> str:
    """The name that Calico gives the host's end where no Kubernetes names a pod."""
    return f"cali{cni_container_id[:SHARED]}"


def etcd_of(lab: Lab) -> Etcd:
    """Allocations, handles and endpoints by etcdctl."""
    return read_etcd([*lab.inside("etcd"), "etcdctl"])


def endpoint_of(lab: Lab, container_id: str) -> dict[str, Any]:
    """The one endpoint of a container."""
    found = [
        spec
        for spec in etcd_of(lab).endpoints.values()
        if spec["containerID"] == cni_id(container_id)
    ]
    assert len(found) == 1, found
    return found[0]


def traces(lab: Lab, container_id: str, address: str, link: str) -> dict[str, list[str]]:
    """All that shows a container, by where it was found; what is empty is left out."""
    etcd = etcd_of(lab)
    raw = lab.exec("etcd", "etcdctl", "get", "", "--prefix").splitlines()
    told = lab.exec(NODE, "sh", "-c", LOOK).splitlines()
    links, routes, neighbours = map(json.loads, told[:3])
    marks = {address, f"{address}/32", link}
    found = {
        "allocation": [at for at, _ in etcd.allocations if at == address],
        "handle": [name for name in etcd.handles if container_id in name],
        "endpoint": [str(spec) for spec in etcd.endpoints.values() if link in str(spec)],
        "etcd": [line for line in raw if container_id in line],
        "link": [
            one["ifname"]
            for one in links
            if one["ifname"] == link or container_id in one.get("ifalias", "")
        ],
        "route": [str(one) for one in routes if {one.get("dst"), one.get("dev")} & marks],
        "neighbour": [str(one) for one in neighbours if {one["dst"], one.get("dev")} & marks],
        "record": [path for path in told[3:] if path.startswith(RECORDS) and link in path],
        "result": [path for path in told[3:] if path.startswith(RESULTS) and container_id in path],
    }
    return {where: what for where, what in found.items() if what}


EVERYWHERE = {"allocation", "handle", "endpoint", "etcd", "link", "route", "record", "result"}
"""Where a running container shows; a neighbour entry may have gone by itself."""


def reaches(daemon: Containerd, container_id: str, target: str) -> bool:
    """One ping from inside a container, with its own busybox."""
    return daemon.exec(container_id, "ping", "-c", "1", "-W", "2", target).returncode == 0


def test_the_two_ids_would_get_one_name_by_calicos_rule() -> None:
    """The control: these ids are what they are meant to be."""
    one, other = twins()
    assert one != other
    assert one[:SHARED] == other[:SHARED]
    assert calicos_name(one) == calicos_name(other)
    assert calicos_name(cni_id(one)) == calicos_name(cni_id(other))


def test_the_node_has_our_conflist_alone_and_our_plugin(default_lab: Lab) -> None:
    assert default_lab.exec(NODE, "ls", "/etc/cni/net.d").split() == ["10-felix-py.conflist"]
    assert "felix-py" in default_lab.exec(NODE, "ls", "/opt/cni/bin").split()


@pytest.mark.parametrize("_round", ["first", "again"])
def test_two_containers_of_like_ids_reach_the_other_rack_and_leave_nothing(
    default_lab: Lab, daemon: Containerd, _round: str
) -> None:
    lab, ids = default_lab, twins()
    keys = set(lab.exec("etcd", "etcdctl", "get", "", "--prefix", "--keys-only").split())
    links = lab.exec(NODE, "ip", "-o", "link").count("\n")
    far = lab.pods(FAR)[0]
    shown: dict[str, tuple[str, str]] = {}
    for container_id in ids:
        daemon.run(container_id)
        spec = endpoint_of(lab, container_id)
        shown[container_id] = (spec["ipNetworks"][0].split("/")[0], spec["interfaceName"])
    addresses, names = ({each[n] for each in shown.values()} for n in (0, 1))
    assert len(addresses) == len(names) == 2, shown
    for container_id, (address, _) in shown.items():
        told = daemon.exec(container_id, "ip", "-o", "-4", "address", "show", "eth0").stdout
        assert f" {address}/32 " in told
        assert eventually(partial(reaches, daemon, container_id, far["address"]), 20)
        in_netns(far["netns"], "ping", "-c", "1", "-W", "2", address)
    assert reaches(daemon, ids[0], shown[ids[1]][0])
    for container_id, what in shown.items():
        assert set(traces(lab, container_id, *what)) >= EVERYWHERE
    _remove_one_by_one(lab, daemon, shown, far["address"])
    assert not daemon.known()
    after = set(lab.exec("etcd", "etcdctl", "get", "", "--prefix", "--keys-only").split())
    assert after == keys
    assert lab.exec(NODE, "ip", "-o", "link").count("\n") == links


def _remove_one_by_one(
    lab: Lab, daemon: Containerd, shown: dict[str, tuple[str, str]], far: str
) -> None:
    """The first is removed without a trace, and the second does not notice."""
    (first, of_first), (second, of_second) = shown.items()
    told = daemon.remove(first)
    assert "level=error" not in told, told
    assert eventually(lambda: not traces(lab, first, *of_first)), traces(lab, first, *of_first)
    assert set(traces(lab, second, *of_second)) >= EVERYWHERE
    assert reaches(daemon, second, far)
    told = daemon.remove(second)
    assert "level=error" not in told, told
    assert eventually(lambda: not traces(lab, second, *of_second)), traces(lab, second, *of_second)


def test_a_daemon_killed_in_the_middle_of_a_test_leaves_nothing_either(default_lab: Lab) -> None:
    container_id, _ = twins()
    running = Containerd(default_lab.inside(NODE))
    shown: list[str] = []

    def fail_in_the_middle() -> None:
        with running:
            running.run(container_id)
            spec = endpoint_of(default_lab, container_id)
            shown.extend([spec["ipNetworks"][0].split("/")[0], spec["interfaceName"]])
            assert running.leftovers(), "the check sees a daemon that runs"
            running.kill_daemon()
            assert running.processes(), "shim and container outlive their daemon"
            raise Planted

    with pytest.raises(Planted):
        fail_in_the_middle()
    assert not running.leftovers()
    address, link = shown
    assert eventually(lambda: not traces(default_lab, container_id, address, link)), traces(
        default_lab, container_id, address, link
    )
