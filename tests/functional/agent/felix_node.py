"""A namespace with a real etcd and a real felix process in it, looked at with other eyes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.support import netns
from tests.support.etcd import EtcdServer

IPAM = "/calico/ipam/v2/"
RESOURCES = "/calico/resources/v3/projectcalico.org/"
NODE = "worker-1"
GUID = "5f0c1e5f0c1e5f0c1e5f0c1e5f0c1e5f"
START_SECONDS = 15.0


class FelixNode:
    """A context manager: namespace, uplink, etcd with ClusterInformation; felix when started.

    etcd is started by a thread that lives in the namespace as long as this object does, because a
    child with a parent-death signal dies with the thread that started it.
    """

    def __init__(self, directory: Path, namespaces: netns.Namespaces) -> None:
        self.directory = directory
        self.namespace = namespaces.create()
        self._inside = ThreadPoolExecutor(1, initializer=netns.enter, initargs=(self.namespace,))
        self.etcd = EtcdServer()
        self.process: subprocess.Popen[bytes] | None = None
        self.extra: dict[str, Any] = {}
        self.backend = "bgp"
        netns.veth((self.namespace, "eth0"), (self.namespace, "tor0"))
        netns.address(self.namespace, "eth0", "192.168.50.11/24", "fd50::11/64")
        netns.ip("route", "add", "default", "via", "192.168.50.1", namespace=self.namespace)

    def __enter__(self) -> Self:
        self._inside.submit(self.etcd.start).result()
        self.put_resource(
            "clusterinformations/default",
            "ClusterInformation",
            {"clusterGUID": GUID, "clusterType": "bgp", "datastoreReady": True},
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        self._inside.submit(self.etcd.remove).result()
        self._inside.shutdown()

    def start(self, *, wait: bool = True) -> None:
        """Start felix as its console script does; wait until it is in sync."""
        config = self.directory / "felix-py.yaml"
        settings = {
            "node": {
                "name": NODE,
                "backend": self.backend,
                "runDir": str(self.directory / "run"),
                "stateDir": str(self.directory / "state"),
            },
            "datastore": {"endpoints": [self.etcd.endpoint], "timeoutSeconds": 1},
            "log": {"form": "text"},
            "felix": self.extra,
        }
        config.write_text(json.dumps(settings), "utf-8")
        script = "from felix_py.agent.main import main; main()"
        (self.directory / "run").mkdir(exist_ok=True)
        with (self.directory / "felix.log").open("ab") as log:
            self.process = subprocess.Popen(
                netns.command(
                    self.namespace, sys.executable, "-c", script, "--config", str(config)
                ),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        if wait:
            pid = self.process.pid
            self.until(
                lambda: self.status.get("pid") == pid and self.status["store"]["inSync"],
                START_SECONDS,
            )

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End felix; its exit status (0: it was not running)."""
        if self.process is None:
            return 0
        self.process.send_signal(number)
        status = self.process.wait(15)
        self.process = None
        return status

    def log(self) -> str:
        return (self.directory / "felix.log").read_text("utf-8", "replace")

    @property
    def status(self) -> dict[str, Any]:
        try:
            loaded = json.loads((self.directory / "run/status/felix.json").read_text("utf-8"))
        except FileNotFoundError:
            return {}
        assert isinstance(loaded, dict)
        return loaded

    def put(self, key: str, value: object) -> None:
        text = value if isinstance(value, str) else json.dumps(value)
        self._inside.submit(self.etcd.put, key, text).result()

    def ctl(self, *arguments: str) -> str:
        return self._inside.submit(self.etcd.ctl, *arguments).result()

    def inside(self, function: Callable[[], object]) -> object:
        """Call in the namespace, by the thread that owns etcd."""
        return self._inside.submit(function).result()

    def put_resource(self, path: str, kind: str, spec: dict[str, Any], **metadata: Any) -> None:
        document = {
            "kind": kind,
            "apiVersion": "projectcalico.org/v3",
            "metadata": {
                "name": path.rsplit("/", 1)[1],
                "uid": str(uuid.uuid4()),
                "creationTimestamp": "2026-01-01T00:00:00Z",
                **metadata,
            },
            "spec": spec,
        }
        self.put(RESOURCES + path, document)

    def resource(self, path: str) -> dict[str, Any] | None:
        text = self.ctl("get", RESOURCES + path, "--print-value-only")
        return json.loads(text) if text.strip() else None

    def put_endpoint(
        self,
        pod: str,
        *addresses: str,
        link: str,
        container: str = "c1",
        node: str = NODE,
        **spec: Any,
    ) -> str:
        """Write an endpoint as the CNI server does, with what an operator added; its path."""
        path = f"workloadendpoints/default/worker--1-k8s-{pod}-eth0"
        self.put_resource(
            path,
            "WorkloadEndpoint",
            {
                "orchestrator": "k8s",
                "node": node,
                "containerID": container,
                "pod": pod,
                "endpoint": "eth0",
                "ipNetworks": list(addresses),
                "interfaceName": link,
                **spec,
            },
            namespace="default",
        )
        return RESOURCES + path

    def add_block(self, cidr: str, *, owner: str = NODE, state: str = "confirmed") -> None:
        """A block that names `owner` and this node's affinity with it."""
        size = 2 ** (32 - int(cidr.split("/")[1]))
        segment = f"ipv4/block/{cidr.replace('/', '-')}"
        self.put(f"/calico/ipam/v2/host/{NODE}/{segment}", {"state": state, "deleted": False})
        self.put(
            f"/calico/ipam/v2/assignment/{segment}",
            {
                "cidr": cidr,
                "affinity": f"host:{owner}",
                "allocations": [None] * size,
                "unallocated": list(range(size)),
                "attributes": [],
                "sequenceNumber": 1,
                "sequenceNumberForAllocation": {},
                "deleted": False,
            },
        )

    def put_block(
        self, cidr: str, owner: str, holders: Mapping[int, Mapping[str, str]] = {}
    ) -> None:
        """Any node's block; holders: ordinal -> the allocation's secondary attributes."""
        size = 2 ** (32 - int(cidr.split("/")[1]))
        allocations: list[int | None] = [None] * size
        for index, ordinal in enumerate(holders):
            allocations[ordinal] = index
        document = {
            "cidr": cidr,
            "affinity": f"host:{owner}",
            "allocations": allocations,
            "unallocated": [n for n in range(size) if allocations[n] is None],
            "attributes": [{"handle_id": "h", "secondary": dict(s)} for s in holders.values()],
            "sequenceNumber": 1,
            "sequenceNumberForAllocation": {},
            "deleted": False,
        }
        self.put(f"{IPAM}assignment/ipv4/block/{cidr.replace('/', '-')}", document)

    def pod_link(self, name: str, alias: str = "k8s-pod-network.c1", *, up: bool = True) -> None:
        """A host side veth like the CNI server's; its other end stays here for simplicity."""
        self.ip("link", "add", name, "type", "veth", "peer", "name", f"p{name[-8:]}")
        if alias:
            self.ip("link", "set", name, "alias", alias)
        self.ip("link", "set", f"p{name[-8:]}", "up")
        if up:
            self.ip("link", "set", name, "up")

    def ip(self, *arguments: str) -> str:
        return netns.ip(*arguments, namespace=self.namespace)

    def route(self, prefix: str) -> dict[str, Any] | None:
        """The kernel's route to exactly this prefix, as iproute2 tells."""
        family = ["-6"] if ":" in prefix else []
        found = netns.ip_json(*family, "route", "show", prefix, namespace=self.namespace)
        return found[0] if found else None

    def sysctl(self, path: str) -> str:
        return netns.run(self.namespace, "cat", f"/proc/sys/net/{path}").strip()

    def set_sysctl(self, path: str, value: str) -> None:
        netns.run(self.namespace, "sh", "-c", f"echo {value} > /proc/sys/net/{path}")

    def until(self, holds: Callable[[], object], seconds: float = 3.0) -> float:
        """Wait until it holds; how long that took. Fails with felix's log."""
        started = time.monotonic()
        while not holds():
            if time.monotonic() - started > seconds:
                raise AssertionError(f"not within {seconds} s; felix said:\n{self.log()[-4000:]}")
            if self.process is not None and self.process.poll() is not None:
                raise AssertionError(f"felix ended:\n{self.log()[-4000:]}")
            time.sleep(0.01)
        return time.monotonic() - started
