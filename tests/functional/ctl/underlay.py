"""Two nodes on an underlay of one subnet or of two, an etcd, and the doctor as people run it there."""

from __future__ import annotations

import json
import os
import shlex
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.support import netns
from tests.support.etcd import EtcdServer
from tests.support.netns import Namespaces

RESOURCES = "/calico/resources/v3/projectcalico.org/"
PLAIN = {"cidr": "10.244.0.0/16", "blockSize": 26, "ipipMode": "Never", "vxlanMode": "Never"}
QUIET = ("rp_filter=0", "send_redirects=0", "accept_redirects=0")
MIDDLE = {1: "10.0.1.1", 2: "10.0.2.1"}


class Underlay:
    """node-1 and node-2, each with eth0 in a namespace `middle`, which is a switch (`flat`) or a router.

    Flat: 10.0.0.1/24, 10.0.0.2/24, the switch is 10.0.0.254. Routed: 10.0.1.2/24 behind 10.0.1.1 and
    10.0.2.2/24 behind 10.0.2.1. Everything is healthy until a test plants a fault.
    """

    def __init__(self, directory: Path, namespaces: Namespaces, *, flat: bool) -> None:
        self.directory, self.flat = directory, flat
        self.namespaces = namespaces
        self.middle = namespaces.create()
        self.nodes = {number: namespaces.create() for number in (1, 2)}
        for namespace in (self.middle, *self.nodes.values()):
            self.prepare(namespace)
        if flat:
            netns.ip("link", "add", "br0", "type", "bridge", namespace=self.middle)
            netns.ip("link", "set", "br0", "up", namespace=self.middle)
            netns.address(self.middle, "br0", "10.0.0.254/24")
        for number, namespace in self.nodes.items():
            self._connect(number, namespace)
        self.etcd = EtcdServer()
        self._inside = ThreadPoolExecutor(1, initializer=netns.enter, initargs=(self.nodes[1],))
        self._stack = ExitStack()

    @property
    def addresses(self) -> dict[int, str]:
        """The nodes' addresses with their prefixes."""
        return {1: "10.0.0.1/24", 2: "10.0.0.2/24"} if self.flat else _ROUTED

    def __enter__(self) -> Self:
        self._inside.submit(self.etcd.start).result()
        self.put(
            "clusterinformations/default",
            "ClusterInformation",
            {"clusterGUID": "5f0c1e5f0c1e5f0c1e5f0c1e5f0c1e5f", "datastoreReady": True},
        )
        for number, address in self.addresses.items():
            self.put_node(number, address)
        self.put("ippools/p", "IPPool", PLAIN)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()
        self._inside.submit(self.etcd.remove).result()
        self._inside.shutdown()

    @staticmethod
    def prepare(namespace: str) -> None:
        """Forwarding on, no filter of return paths, no redirects."""
        netns.run(namespace, "sysctl", "-qw", "net.ipv4.ip_forward=1")
        for which in ("all", "default"):
            for setting in QUIET:
                netns.run(namespace, "sysctl", "-qw", f"net.ipv4.conf.{which}.{setting}")

    def attach(self, name: str, namespace: str) -> None:
        """One more machine on the switch, by its eth0."""
        netns.veth((namespace, "eth0"), (self.middle, name))
        netns.ip("link", "set", name, "master", "br0", namespace=self.middle)

    def put(self, path: str, kind: str, spec: dict[str, Any]) -> None:
        """Write a resource as calicoctl does."""
        metadata = {
            "name": path.rsplit("/", 1)[1],
            "uid": "5d8e4b1e-0000-4000-8000-000000000001",
            "creationTimestamp": "2026-01-01T00:00:00Z",
        }
        document = {
            "kind": kind,
            "apiVersion": "projectcalico.org/v3",
            "metadata": metadata,
            "spec": spec,
        }
        self.put_raw(RESOURCES + path, document)

    def put_raw(self, key: str, document: dict[str, Any]) -> None:
        self._inside.submit(self.etcd.put, key, json.dumps(document)).result()

    def put_node(self, number: int, address: str) -> None:
        self.put(f"nodes/node-{number}", "Node", {"bgp": {"ipv4Address": address}})

    def pool(self, **spec: str) -> None:
        """Replace the pool's modes."""
        self.put("ippools/p", "IPPool", {**PLAIN, **spec})

    def doctor(
        self, *arguments: str, status: int = 0, before: str = "true", node: int = 1
    ) -> dict[str, Any]:
        """Its JSON. `before`: a shell command in the mount namespace of the run."""
        run = self._felixctl(node, "doctor", "-o", "json", *arguments)
        done = subprocess.run(
            ["ip", "netns", "exec", self.nodes[node], "sh", "-c", f"{before} && exec {run}"],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            env={name: value for name, value in os.environ.items() if name != "COLUMNS"},
        )
        assert done.returncode == status, done.stdout + done.stderr
        loaded = json.loads(done.stdout)
        assert isinstance(loaded, dict)
        return loaded

    def problems(self, *arguments: str, status: int = 2, before: str = "true") -> list[str]:
        """What is named, each with the node it is on."""
        found = self.doctor(*arguments, status=status, before=before)["findings"]
        return [finding["problem"] for finding in found]

    def way_to_others(self) -> str:
        """A template for --via: felixctl on node-2, to which etcd's port is opened."""
        self._open_etcd()
        script = self.directory / "on"
        script.write_text(
            "#!/bin/sh\nnode=$1; shift; shift\n"
            f"exec ip netns exec {self.nodes[2]} {self._felixctl(2)} "
            '"$@"\n',
            "utf-8",
        )
        script.chmod(0o755)
        return f"{script} {{node}}"

    def _felixctl(self, number: int, *arguments: str) -> str:
        host = "127.0.0.1" if number == 1 else self.addresses[1].split("/")[0]
        config = self.directory / f"node-{number}.yaml"
        settings = {
            "node": {
                "name": f"node-{number}",
                "runDir": str(self.directory / f"run-{number}"),
                "stateDir": str(self.directory / f"state-{number}"),
            },
            "datastore": {
                "endpoints": [f"http://{host}:{self.etcd.client_port}"],
                "timeoutSeconds": 5,
            },
        }
        config.write_text(json.dumps(settings), "utf-8")
        script = "from felix_py.ctl.main import main; main()"
        return shlex.join([sys.executable, "-c", script, "--config", str(config), *arguments])

    def _open_etcd(self) -> None:
        """etcd listens on loopback: bytes are carried to it from node-1's address."""
        address = (self.addresses[1].split("/")[0], self.etcd.client_port)
        listener = netns.call(self.nodes[1], lambda: socket.create_server(address))
        self._stack.callback(listener.close)

        def serve() -> None:
            while True:
                try:
                    outside, _ = listener.accept()
                except OSError:
                    return
                inside = netns.call(
                    self.nodes[1],
                    lambda: socket.create_connection(("127.0.0.1", self.etcd.client_port)),
                )
                for pair in ((outside, inside), (inside, outside)):
                    threading.Thread(target=_carry, args=pair, daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        self._stack.callback(lambda: listener.shutdown(socket.SHUT_RDWR))

    def _connect(self, number: int, namespace: str) -> None:
        port = f"n{number}"
        if self.flat:
            self.attach(port, namespace)
        else:
            netns.veth((namespace, "eth0"), (self.middle, port))
            netns.address(self.middle, port, f"{MIDDLE[number]}/24")
        netns.address(namespace, "eth0", self.addresses[number])
        if not self.flat:
            netns.ip("route", "add", "default", "via", MIDDLE[number], namespace=namespace)


_ROUTED = {1: "10.0.1.2/24", 2: "10.0.2.2/24"}


def _carry(source: socket.socket, sink: socket.socket) -> None:
    try:
        while chunk := source.recv(1 << 16):
            sink.sendall(chunk)
    except OSError:
        pass
    finally:
        for each in (source, sink):
            each.close()
