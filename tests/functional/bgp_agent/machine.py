"""A node with etcd, the real launcher, ExaBGP and the real BGP agent; two BIRDs play other nodes."""

from __future__ import annotations

import ipaddress
import json
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from tests.support import netns
from tests.support.bgp_node import SYSTEM_PYTHON, BgpNode
from tests.support.bird import Bird, configuration, session
from tests.support.etcd import EtcdServer

RESOURCES = "/calico/resources/v3/projectcalico.org/"
GUID = "5f0c1e5f0c1e5f0c1e5f0c1e5f0c1e5f"
NODE = "node-1"
START_SECONDS = 20.0
T = TypeVar("T")


class Machine:
    """A context manager. 10.99.0.1 is the node, 10.99.0.2 and .3 are node-2 and node-3.

    etcd is started by a thread that lives in the namespace as long as this object does, because a
    child with a parent-death signal dies with the thread that started it.
    """

    def __init__(self, directory: Path, namespaces: netns.Namespaces) -> None:
        self.directory = directory
        self.namespace = namespaces.create()
        self.others = {2: namespaces.create(), 3: namespaces.create()}
        self._inside = ThreadPoolExecutor(1, initializer=netns.enter, initargs=(self.namespace,))
        self.etcd = EtcdServer()
        self.process: subprocess.Popen[bytes] | None = None
        self.settings: dict[str, Any] = {}
        self.backend = "bgp"
        self._stack = ExitStack()
        self.bgp = BgpNode(self.namespace, directory / "run")
        self._wire()

    def _wire(self) -> None:
        netns.ip("link", "add", "br0", "type", "bridge", namespace=self.namespace)
        netns.address(self.namespace, "br0", "10.99.0.1/24", "fd99::1/64")
        netns.ip("link", "set", "br0", "up", namespace=self.namespace)
        for number, other in self.others.items():
            netns.veth((self.namespace, f"n{number}"), (other, "eth0"))
            netns.ip("link", "set", f"n{number}", "master", "br0", namespace=self.namespace)
            netns.address(other, "eth0", f"10.99.0.{number}/24", f"fd99::{number}/64")

    def __enter__(self) -> Self:
        self._inside.submit(self.etcd.start).result()
        cluster = {"clusterGUID": GUID, "clusterType": "bgp", "datastoreReady": True}
        self.put("clusterinformations/default", "ClusterInformation", cluster)
        self.put("ippools/blue", "IPPool", {"cidr": "10.244.0.0/16"})
        for number in (1, 2, 3):
            self.put_node(number)
        (self.directory / "run").mkdir()
        self._stack.enter_context(self.bgp)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        self._stack.close()
        self._inside.submit(self.etcd.remove).result()
        self._inside.shutdown()

    def bird(self, number: int, *routes: str, options: tuple[str, ...] = ()) -> Bird:
        """A BIRD as node 2 or 3 that announces these prefixes; stopped at the end."""
        own = f"10.99.0.{number}"
        text = configuration(
            own,
            session("node", own, "10.99.0.1", asn=64512, neighbor_asn=64512, options=options),
            routes=routes,
        )
        return self.bird_with(number, text)

    def bird_with(self, number: int, text: str) -> Bird:
        """A BIRD with this very configuration."""
        bird = Bird(self.others[number], self.directory / f"bird{number}", text)
        return self._stack.enter_context(bird)

    def start(self, *, in_sync: bool = True) -> None:
        """Start the agent as its console script does, and wait until it knows the store."""
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
            "bgp": {
                "python": SYSTEM_PYTHON,
                "secretsDir": str(self.directory / "secrets"),
                **self.settings,
            },
        }
        config.write_text(json.dumps(settings), "utf-8")
        script = "from bgp.main import main; main()"
        argv = (sys.executable, "-c", script, "--config", str(config))
        with (self.directory / "agent.log").open("ab") as log:
            self.process = subprocess.Popen(
                netns.command(self.namespace, *argv),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        pid = self.process.pid
        self.until(
            lambda: (
                self.status.get("pid") == pid and self.status["store"]["inSync"] in {True, in_sync}
            ),
            START_SECONDS,
        )

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End the agent; its exit status (0: it was not running)."""
        if self.process is None:
            return 0
        self.process.send_signal(number)
        status = self.process.wait(15)
        self.process = None
        return status

    def put(
        self, path: str, kind: str, spec: Mapping[str, Any], annotations: Mapping[str, str] = {}
    ) -> None:
        """Write a resource as calicoctl does."""
        document = {
            "kind": kind,
            "apiVersion": "projectcalico.org/v3",
            "metadata": {
                "name": path.rsplit("/", 1)[1],
                "uid": str(uuid.uuid4()),
                "creationTimestamp": "2026-01-01T00:00:00Z",
                "annotations": dict(annotations),
            },
            "spec": spec,
        }
        self.raw(RESOURCES + path, document)

    def put_node(self, number: int, *, ipv6: bool = False) -> None:
        """node-<number> at 10.99.0.<number>, with ipv6 at fd99::<number> as well."""
        bgp = {"ipv4Address": f"10.99.0.{number}/24"}
        if ipv6:
            bgp["ipv6Address"] = f"fd99::{number}/64"
        self.put(f"nodes/node-{number}", "Node", {"bgp": bgp})

    def put_block(
        self, cidr: str, *, state: str = "confirmed", holders: Mapping[int, str] = {}
    ) -> None:
        """A block of this node and its affinity; holders: ordinal -> node."""
        network = ipaddress.ip_network(cidr)
        size = network.num_addresses
        segment = f"ipv{network.version}/block/{cidr.replace('/', '-')}"
        allocations: list[int | None] = [None] * size
        for index, ordinal in enumerate(holders):
            allocations[ordinal] = index
        block = {
            "cidr": cidr,
            "affinity": f"host:{NODE}",
            "allocations": allocations,
            "unallocated": [n for n in range(size) if allocations[n] is None],
            "attributes": [
                {"handle_id": f"h{n}", "secondary": {"node": node}}
                for n, node in enumerate(holders.values())
            ],
            "sequenceNumber": 1,
            "sequenceNumberForAllocation": {str(n): 0 for n in holders},
            "deleted": False,
        }
        self.raw(f"/calico/ipam/v2/assignment/{segment}", block)
        self.raw(f"/calico/ipam/v2/host/{NODE}/{segment}", {"state": state, "deleted": False})

    def put_foreign_block(self, cidr: str, owner: str) -> None:
        """A free block of another node."""
        size = 2 ** (32 - int(cidr.split("/")[1]))
        block = {
            "cidr": cidr,
            "affinity": f"host:{owner}",
            "allocations": [None] * size,
            "unallocated": list(range(size)),
            "attributes": [],
            "sequenceNumber": 1,
            "sequenceNumberForAllocation": {},
            "deleted": False,
        }
        self.raw(f"/calico/ipam/v2/assignment/ipv4/block/{cidr.replace('/', '-')}", block)

    def raw(self, key: str, value: object) -> None:
        """Write any key."""
        self._inside.submit(self.etcd.put, key, json.dumps(value)).result()

    def inside(self, function: Callable[[], T]) -> T:
        """Call in the node's namespace, by the thread that owns etcd."""
        return self._inside.submit(function).result()

    def delete(self, key: str) -> None:
        """Delete any key."""
        self._inside.submit(self.etcd.ctl, "del", key).result()

    @property
    def status(self) -> dict[str, Any]:
        """What the agent says of itself."""
        try:
            loaded = json.loads((self.directory / "run/status/bgp.json").read_text("utf-8"))
        except FileNotFoundError:
            return {}
        assert isinstance(loaded, dict)
        return loaded

    def refused(self) -> dict[str, int]:
        """Refused paths by reason, as the status has them."""
        return {entry["reason"]: entry["paths"] for entry in self.status["learned"]["refused"]}

    def learned(self, version: int = 4) -> dict[str, str]:
        """BGP's routes in the kernel: prefix to gateways, as iproute2 tells."""
        family = f"-{version}"
        found = netns.ip_json(family, "route", "show", "proto", "81", namespace=self.namespace)
        return {
            route["dst"]: route.get("gateway")
            or "+".join(sorted(hop["gateway"] for hop in route["nexthops"]))
            for route in found
        }

    def ip(self, *arguments: str) -> str:
        """iproute2 on the node."""
        return netns.ip(*arguments, namespace=self.namespace)

    def log(self) -> str:
        """What the agent wrote."""
        return (self.directory / "agent.log").read_text("utf-8", "replace")

    def until(self, holds: Callable[[], object], seconds: float = 30.0) -> float:
        """Wait until it holds; how long that took. Fails with the agent's log."""
        started = time.monotonic()
        while not holds():
            if time.monotonic() - started > seconds:
                said = self.log()[-5000:]
                raise AssertionError(
                    f"not within {seconds} s; status {json.dumps(self.status, indent=1)}\n"
                    f"learned {self.learned()}\nagent:\n{said}\n{self.bgp.log()[-2000:]}"
                )
            if self.process is not None and self.process.poll() is not None:
                raise AssertionError(f"agent ended:\n{self.log()[-5000:]}")
            time.sleep(0.02)
        return time.monotonic() - started
