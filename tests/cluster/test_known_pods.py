"""felix-cni asks a real API server of its pods: one node of the CNI tests, one kube-apiserver."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from felix_py.runtime import status_file
from tests.functional.cni.node import NODE, Call, CniNode
from tests.functional.cni.runtime import compile_shim
from tests.support.lone_api_server import LoneApiServer

pytestmark = [pytest.mark.root, pytest.mark.etcd]

USER = "cni"
RULES = [
    {"apiGroups": [""], "resources": ["pods", "namespaces"], "verbs": ["get", "list", "watch"]},
    {"apiGroups": [""], "resources": ["events"], "verbs": ["create", "patch"]},
]
"""All that the server needs of Kubernetes."""
P = "cni.projectcalico.org/"
SECONDS = 20.0
Annotations = dict[str, str]


class World:
    """A node, and the API server that knows its pods."""

    def __init__(self, node: CniNode, api: LoneApiServer) -> None:
        self.node, self.api = node, api

    def pod(
        self, name: str, annotations: Annotations | None = None, namespace: str = "shop"
    ) -> Call:
        """A pod on this node, and the call by which a runtime attaches it."""
        self.api.apply(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {
                    "name": name,
                    "namespace": namespace,
                    "labels": {"app": "web"},
                    "annotations": annotations or {},
                },
                "spec": {
                    "nodeName": NODE,
                    "serviceAccountName": "builder",
                    "automountServiceAccountToken": False,
                    "containers": [
                        {
                            "name": "c",
                            "image": "x",
                            "ports": [{"name": "http", "containerPort": 80}],
                        }
                    ],
                },
            }
        )
        found = self.api.kubectl("get", "pod", "-n", namespace, name, "-o", "json")
        uid = json.loads(found)["metadata"]["uid"]
        args = (
            f"IgnoreUnknown=1;K8S_POD_NAMESPACE={namespace};K8S_POD_NAME={name};K8S_POD_UID={uid}"
        )
        return self.node.container(args=args)

    def add(self, call: Call, **conf: Any) -> dict[str, Any]:
        """ADD, which must succeed; the endpoint in etcd."""
        added = self.node.call("ADD", call, policy={"type": "k8s"}, **conf)
        assert added.exit_code == 0, added.stdout
        [endpoint] = [
            each
            for each in self.node.endpoints().values()
            if each["spec"]["containerID"] == call.container
        ]
        return endpoint

    def known(self) -> int:
        """How many pods the server has in memory."""
        status = status_file.read(f"{self.node.directory}/run", "cni") or {}
        return int(status.get("kubernetes", {}).get("pods", 0))


def _until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + SECONDS
    while not true():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    directory = tmp_path_factory.mktemp("node")
    node = CniNode(directory, compile_shim(directory, "-Os", "-static", "-s"))
    with node, LoneApiServer(tmp_path_factory.mktemp("api"), USER) as api:
        api.apply(
            {
                "apiVersion": "v1",
                "kind": "Namespace",
                "metadata": {"name": "shop", "annotations": {P + "ipv4pools": '["pool-2"]'}},
            },
            {
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "ClusterRole",
                "metadata": {"name": USER},
                "rules": RULES,
            },
            {
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "ClusterRoleBinding",
                "metadata": {"name": USER},
                "roleRef": {
                    "apiGroup": "rbac.authorization.k8s.io",
                    "kind": "ClusterRole",
                    "name": USER,
                },
                "subjects": [{"kind": "User", "name": USER}],
            },
        )
        _add_pools(node)
        node.stop_server()
        config = str(api.kubeconfig(USER))
        node.sections["kubernetes"] = {"enabled": True, "kubeconfig": config, "timeoutSeconds": 2}
        node.start_server()
        yield World(node, api)


def _add_pools(node: CniNode) -> None:
    common = {"blockSize": 29, "ipipMode": "Never", "vxlanMode": "Never", "nodeSelector": "all()"}
    uses = {"allowedUses": ["Workload"], "assignmentMode": "Automatic"}
    node.put_resource("IPPool", "pool-2", {"cidr": "10.245.0.0/24", **common, **uses})
    node.put_resource("IPPool", "pool-3", {"cidr": "10.246.0.0/24", **common, **uses})


@pytest.fixture
def world(shared: World) -> Iterator[World]:
    """The module's world, its node as empty as it was afterwards."""
    yield shared
    assert not shared.node.left_behind()


def test_the_endpoint_says_what_kubernetes_knows(world: World) -> None:
    call = world.pod("web-1")
    endpoint = world.add(call)
    assert endpoint["metadata"]["labels"] == {
        "app": "web",
        "projectcalico.org/namespace": "shop",
        "projectcalico.org/orchestrator": "k8s",
        "projectcalico.org/serviceaccount": "builder",
    }
    spec = endpoint["spec"]
    assert spec["serviceAccountName"] == "builder"
    assert spec["profiles"] == ["kns.shop", "ksa.shop.builder"]
    port = {"name": "http", "protocol": "TCP", "port": 80, "hostPort": 0, "hostIP": ""}
    assert spec["ports"] == [port]
    assert spec["ipNetworks"][0].startswith("10.245.0.")  # the namespace's pool
    assert world.node.call("DEL", call).exit_code == 0


def test_a_pods_annotations_choose_pool_address_mac_and_limits(world: World) -> None:
    asks = {
        P + "ipv4pools": '["10.246.0.0/24"]',
        P + "hwAddr": "0a:00:00:00:00:01",
        "kubernetes.io/egress-bandwidth": "10M",
    }
    calls = [world.pod("pool", asks), world.pod("address", {P + "ipAddrs": '["10.244.9.9"]'})]
    first, second = [world.add(call)["spec"] for call in calls]
    assert first["ipNetworks"][0].startswith("10.246.0.")
    assert first["mac"] == "0a:00:00:00:00:01"
    assert first["qosControls"] == {"egressBandwidth": 10_000_000}
    assert second["ipNetworks"] == ["10.244.9.9/32"]
    for call in calls:
        assert world.node.call("DEL", call).exit_code == 0


@pytest.mark.parametrize(
    ("name", "value", "code", "reason"),
    [
        ("taken", '["10.244.9.1"]', 103, "AddressTaken"),
        ("foreign", '["203.0.113.7"]', 104, "NotInPool"),
        ("malformed", "10.244.9.2", 7, "BadAnnotation"),
    ],
)
def test_a_pod_that_asks_for_the_impossible_is_told_why(
    world: World, name: str, value: str, code: int, reason: str
) -> None:
    holder = world.pod(f"{name}-holder", {P + "ipAddrs": '["10.244.9.1"]'})
    world.add(holder)
    call = world.pod(name, {P + "ipAddrs": value})
    for _ in range(3):
        refused = world.node.call("ADD", call, policy={"type": "k8s"})
        assert refused.code == code, refused.stdout
    about = ("events", "-n", "shop", "--field-selector", f"involvedObject.name={name}")
    _until(lambda: world.api.get(*about))
    [event] = world.api.get(*about)
    assert (event["reason"], event["type"]) == (reason, "Warning")
    assert event["message"] == refused.json["msg"]
    for each in (holder, call):
        assert world.node.call("DEL", each).exit_code == 0


def test_an_address_past_ipam_is_the_pods_where_the_network_allows_it(world: World) -> None:
    call = world.pod("outside", {P + "ipAddrsNoIpam": '["203.0.113.9"]'})
    refused = world.node.call("ADD", call, policy={"type": "k8s"})
    assert refused.code == 2, refused.stdout
    allowed = {"feature_control": {"ip_addrs_no_ipam": True}}
    assert world.add(call, **allowed)["spec"]["ipNetworks"] == ["203.0.113.9/32"]
    assert world.node.pings("203.0.113.9")
    assert world.node.allocations() == {}
    world.node.kill_server()
    world.node.start_server()
    status = status_file.read(f"{world.node.directory}/run", "cni") or {}
    assert status["ipam"]["unregistered"] == []
    again = world.node.call("ADD", call, policy={"type": "k8s"}, **allowed)
    assert again.exit_code == 0, again.stdout
    assert world.node.call("DEL", call).exit_code == 0


def test_with_the_api_server_away_known_pods_start_and_others_are_told(world: World) -> None:
    before = world.known()
    known = world.pod("known")
    _until(lambda: world.known() > before)
    unknown = world.node.container(
        args="IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=unknown;K8S_POD_UID=u"
    )
    world.api.stop()
    try:
        assert world.add(known)["spec"]["serviceAccountName"] == "builder"
        refused = world.node.call("ADD", unknown, policy={"type": "k8s"})
        assert refused.code == 11
        assert "API server cannot be asked" in refused.json["msg"]
        assert world.node.status().exit_code == 0
        assert world.node.call("DEL", known).exit_code == 0
    finally:
        world.api.start()
    gone = world.node.call("ADD", unknown, policy={"type": "k8s"})
    assert gone.code == 11
    assert "is not there any more" in gone.json["msg"]
    later = world.pod("later")
    world.add(later)
    assert world.node.call("DEL", later).exit_code == 0
