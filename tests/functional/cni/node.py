"""A node in a namespace: etcd, felix-cni as a process, and a runtime that calls the shim."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.functional.cni.runtime import Plugin, Result, environment
from tests.support import netns
from tests.support.etcd import EtcdServer

REPOSITORY = Path(__file__).parents[3]
NODE = "node-1"
ADDRESS = "192.0.2.1"
POOL = "10.244.0.0/16"
READY_SECONDS = 20.0
RESOURCES = "/calico/resources/v3/projectcalico.org"


@contextmanager
def inside(namespace: str) -> Iterator[None]:
    """The calling thread, and what it starts meanwhile, is in the namespace."""
    with ExitStack() as stack:
        back = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        stack.callback(os.close, back)
        stack.callback(lambda: netns._libc.setns(back, netns.CLONE_NEWNET))
        netns.enter(namespace)
        yield


@dataclass(frozen=True, slots=True)
class Call:
    """One container as a runtime knows it."""

    container: str
    netns: str
    args: str = ""
    ifname: str = "eth0"


class CniNode:
    """A context manager: everything is gone at the end. etcd runs inside the node's namespace."""

    def __init__(self, directory: Path, shim: Path) -> None:
        self.directory = directory
        self.plugin = Plugin(shim, directory / "run" / "cni.sock")
        self._stack = ExitStack()
        self._server: subprocess.Popen[bytes] | None = None
        self.namespace = ""
        self.etcd = EtcdServer()
        self.sections: dict[str, dict[str, Any]] = {}
        """Settings beside the usual ones, by section; read when the server starts."""

    def __enter__(self) -> Self:
        with ExitStack() as undo:
            self.namespace = netns.create(prefix="fxt-node")
            undo.callback(netns.delete, self.namespace)
            netns.address(self.namespace, "lo", f"{ADDRESS}/32")
            undo.enter_context(inside(self.namespace))
            undo.enter_context(self.etcd)
            undo.callback(self.stop_server)
            self._initialise()
            self.start_server()
            self._stack = undo.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def start_server(self, *, wait: bool = True) -> None:
        """Start felix-cni; with `wait`, until it is the node's writer and in sync."""
        config = self.directory / "felix-py.yaml"
        folders = {"runDir": f"{self.directory}/run", "stateDir": f"{self.directory}/state"}
        usual: dict[str, dict[str, Any]] = {
            "node": {"name": NODE, **folders},
            "datastore": {"endpoints": [self.etcd.endpoint]},
            "log": {"level": "info"},
        }
        names = {**usual, **self.sections}
        merged = {name: {**usual.get(name, {}), **self.sections.get(name, {})} for name in names}
        config.write_text(json.dumps(merged), "utf-8")
        with (self.directory / "log").open("ab") as log:
            self._server = subprocess.Popen(
                [
                    sys.executable,
                    "-c",
                    "from cni.main import main; main()",
                    "--config",
                    str(config),
                ],
                cwd=REPOSITORY,
                stderr=log,
                env={name: value for name, value in os.environ.items() if "FELIX" not in name},
            )
        if wait:
            self.await_ready()

    @property
    def server_pid(self) -> int:
        """The server's process id."""
        assert self._server is not None
        return self._server.pid

    def await_ready(self) -> None:
        """Until STATUS says that ADD can be served."""
        deadline = time.monotonic() + READY_SECONDS
        while self.status().exit_code:
            if (
                time.monotonic() > deadline
                or self._server is None
                or self._server.poll() is not None
            ):
                log = (self.directory / "log").read_text("utf-8", "replace")
                raise AssertionError(f"felix-cni is not ready: {log[-3000:]}")
            time.sleep(0.05)

    def kill_server(self) -> None:
        """SIGKILL."""
        self._end(signal.SIGKILL)

    def stop_server(self) -> None:
        """SIGTERM; its exit status must be 0."""
        self._end(signal.SIGTERM)

    def pause_server(self) -> None:
        """SIGSTOP."""
        assert self._server is not None
        self._server.send_signal(signal.SIGSTOP)

    def pod(self) -> str:
        """A namespace for a container; its name. Removed at the end."""
        name = netns.create(prefix="fxt-pod")
        self._stack.callback(netns.delete, name)
        return name

    def container(
        self, container: str | None = None, args: str = "", pod: str | None = None
    ) -> Call:
        """A container with a random id and a new namespace, where none is given."""
        return Call(
            container or secrets.token_hex(32), str(netns.path(pod or self.pod())), args=args
        )

    def call(self, command: str, container: Call, **conf: Any) -> Result:
        """Run the shim as a runtime does."""
        return self.plugin.call(
            environment(
                command, container.container, container.netns, container.ifname, container.args
            ),
            configuration(**conf),
        )

    def status(self) -> Result:
        """STATUS."""
        return self.plugin.call({"CNI_COMMAND": "STATUS"}, configuration())

    def links(self) -> dict[str, dict[str, Any]]:
        """The node's cali links by name, as iproute2 shows them."""
        shown = netns.ip_json("link", "show", namespace=self.namespace)
        return {link["ifname"]: link for link in shown if link["ifname"].startswith("cali")}

    def routes(self) -> dict[str, dict[str, Any]]:
        """The node's routes by destination, as iproute2 shows them."""
        shown = netns.ip_json("route", "show", namespace=self.namespace)
        return {route["dst"]: route for route in shown}

    def allocations(self) -> dict[str, int]:
        """Handle -> number of addresses, counted in etcd's blocks."""
        counts: dict[str, int] = {}
        for text in self.etcd.dump("/calico/ipam/v2/assignment/").values():
            block = json.loads(text)
            for index in block["allocations"]:
                if index is not None:
                    handle = block["attributes"][index]["handle_id"]
                    counts[handle] = counts.get(handle, 0) + 1
        return counts

    def endpoints(self) -> dict[str, dict[str, Any]]:
        """The endpoints in etcd, by key."""
        dump = self.etcd.dump(f"{RESOURCES}/workloadendpoints/")
        return {key: json.loads(text) for key, text in dump.items()}

    def left_behind(self) -> dict[str, object]:
        """Everything of any attachment that is still there, by where it was found; empty: nothing."""
        found: dict[str, object] = {
            "links": sorted(self.links()),
            "routes": [dst for dst in self.routes() if dst.startswith("10.244.")],
            "allocations": self.allocations(),
            "handles": sorted(self.etcd.dump("/calico/ipam/v2/handle/")),
            "endpoints": sorted(self.endpoints()),
            "records": sorted(path.name for path in self.directory.glob("run/endpoints/*.json")),
            "pending": [path.name for path in self.pending()],
        }
        return {where: what for where, what in found.items() if what}

    def pings(self, address: str) -> bool:
        """Whether the node reaches the address."""
        done = subprocess.run(["ping", "-c1", "-W2", address], check=False, capture_output=True)
        return done.returncode == 0

    def pending(self) -> list[Path]:
        """The pending DELs on disk."""
        return sorted((self.directory / "state" / "pending-del").glob("*.json"))

    def _initialise(self) -> None:
        for kind, name, spec in (
            (
                "ClusterInformation",
                "default",
                {"clusterGUID": "0123456789abcdef0123456789abcdef", "datastoreReady": True},
            ),
            ("Node", NODE, {"bgp": {"ipv4Address": f"{ADDRESS}/24"}}),
            (
                "IPPool",
                "pool-1",
                {
                    "cidr": POOL,
                    "blockSize": 26,
                    "nodeSelector": "all()",
                    "allowedUses": ["Workload", "Tunnel"],
                    "assignmentMode": "Automatic",
                    "ipipMode": "Never",
                    "vxlanMode": "Never",
                },
            ),
        ):
            self.put_resource(kind, name, spec)

    def put_resource(self, kind: str, name: str, spec: Mapping[str, Any]) -> None:
        """Write a resource as calicoctl would."""
        document = {
            "kind": kind,
            "apiVersion": "projectcalico.org/v3",
            "metadata": {
                "name": name,
                "uid": "5d8e4b1e-0000-4000-8000-000000000001",
                "creationTimestamp": "2026-01-01T00:00:00Z",
            },
            "spec": spec,
        }
        self.etcd.put(f"{RESOURCES}/{kind.lower()}s/{name}", json.dumps(document))

    def _end(self, number: signal.Signals) -> None:
        server, self._server = self._server, None
        if server is None:
            return
        server.send_signal(number)
        server.send_signal(signal.SIGCONT)
        status = server.wait(20)
        if number is signal.SIGTERM and status != 0:
            log = (self.directory / "log").read_text("utf-8", "replace")
            raise AssertionError(f"felix-cni ended with {status}: {log[-3000:]}")


def configuration(**changes: Any) -> bytes:
    """The network configuration as the runtime writes it to standard input."""
    return json.dumps(
        {"cniVersion": "1.0.0", "name": "net", "type": "felix-py", **changes}
    ).encode()
