"""A node with two pods, another node and a plain host on one wire; the filter's manager on the node.

Reverse path filters are off everywhere, so that what is stopped is stopped by the tables alone.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from ipaddress import ip_interface, ip_network
from types import TracebackType
from typing import Any, Self, TypeVar

from felix_py.agent.managers.filter import FilterManager
from felix_py.agent.managers.forwarding import Forwarding
from felix_py.agent.state import State
from felix_py.datastore.felix_configuration import FelixConfiguration
from felix_py.datastore.floating import FloatingAddress
from felix_py.datastore.keys import ResourceKey
from felix_py.datastore.model import (
    EncapMode,
    IPPool,
    Kind,
    Metadata,
    Node,
    NodeName,
    WorkloadEndpoint,
)
from felix_py.kernel.conntrack import forget_untranslated
from felix_py.kernel.iptables_legacy import IptablesLegacy
from felix_py.kernel.model import Link
from felix_py.kernel.nft_command import NftCommand
from felix_py.kernel.nft_monitor import GenerationSocket, NftReader
from felix_py.kernel.nft_table import NftTables
from tests.support import frames, netns
from tests.unit.agent.builders import ME, OTHER, change, endpoint_key

T = TypeVar("T")

NODE, OTHER_NODE, OUTSIDE = "192.168.50.11", "192.168.50.12", "192.168.50.99"
NODE6, OTHER_NODE6, OUTSIDE6 = "fd50::11", "fd50::12", "fd50::99"
POOL, POOL6 = "10.244.0.0/16", "fd00:244::/64"
GATEWAY, GATEWAY6 = "169.254.1.1", "fe80::ecee:eeff:feee:eeee"
SETTLE_SECONDS = 20.0


@dataclass(frozen=True)
class Pod:
    """A pod's namespace, its host link and its addresses."""

    name: str
    namespace: str
    link: str
    address: str
    address6: str

    @property
    def mac(self) -> str:
        return frames.mac_of(self.namespace, "eth0")

    def send(self, *packets: bytes) -> None:
        """IP packets, as they are, to the host's side."""
        mac = self.mac
        frames.send(
            self.namespace, "eth0", [frames.framed(each, source_mac=mac) for each in packets]
        )

    def send_frames(self, *sent: bytes) -> None:
        frames.send(self.namespace, "eth0", sent)

    def reaches(self, address: str, *, count: int = 1) -> bool:
        return netns.succeeds(
            self.namespace, "ping", "-n", "-c", str(count), "-i", "0.2", "-W", "2", address
        )


class World:
    """A context manager. The filter writes nothing until `settle`; without it there is no table."""

    def __init__(self, namespaces: netns.Namespaces) -> None:
        self._namespaces = namespaces
        self.node, self.other, self.outside = (namespaces.create() for _ in range(3))
        wire = namespaces.create()
        netns.ip("link", "add", "br0", "type", "bridge", namespace=wire)
        netns.ip("link", "set", "br0", "up", namespace=wire)
        for index, (name, last) in enumerate(
            ((self.node, "11"), (self.other, "12"), (self.outside, "99"))
        ):
            netns.veth((name, "eth0"), (wire, f"p{index}"))
            netns.ip("link", "set", f"p{index}", "master", "br0", namespace=wire)
            netns.address(name, "eth0", f"192.168.50.{last}/24", f"fd50::{last}/64")
        for name in (self.node, self.other):
            self.switch(name, "ipv4/ip_forward", "1")
            self.switch(name, "ipv6/conf/all/forwarding", "1")
            self.switch(name, "ipv4/conf/all/rp_filter", "0")
            self.switch(name, "ipv4/conf/eth0/rp_filter", "0")
        self.pods = {"a": self._pod("a", 7), "b": self._pod("b", 8)}
        self.filter = FilterHost(self.node)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.filter.close()

    @property
    def a(self) -> Pod:
        return self.pods["a"]

    @property
    def b(self) -> Pod:
        return self.pods["b"]

    def settle(self) -> None:
        """Both pods, two nodes and what pools and configuration say: into the kernel."""
        self.filter.nodes((ME, NODE, NODE6), (OTHER, OTHER_NODE, OTHER_NODE6))
        self.filter.links(self.pods.values())
        for pod in self.pods.values():
            self.filter.endpoint(pod)
        self.filter.settle()

    def switch(self, namespace: str, path: str, value: str) -> None:
        netns.run(namespace, "sh", "-c", f"echo {value} > /proc/sys/net/{path}")

    def neighbours(self, link: str, version: int) -> dict[str, str]:
        """Whom the node believes to be on a pod's link: address to MAC."""
        found = netns.ip_json(f"-{version}", "neigh", "show", "dev", link, namespace=self.node)
        return {each["dst"]: each.get("lladdr", "") for each in found}

    def add_pod(self, name: str, last: int) -> Pod:
        """One more pod, as the CNI server makes it; the filter has not heard of it."""
        self.pods[name] = self._pod(name, last)
        return self.pods[name]

    def _pod(self, name: str, last: int) -> Pod:
        pod = Pod(
            name,
            self._namespaces.create(),
            f"cali0000000000{name}",
            f"10.244.0.{last}",
            f"fd00:244::{last}",
        )
        netns.veth((self.node, pod.link), (pod.namespace, "eth0"))
        netns.ip("link", "set", pod.link, "address", frames.HOST_MAC, namespace=self.node)
        netns.ip("link", "set", pod.link, "alias", f"net.{name}", namespace=self.node)
        for path, value in (
            (f"ipv4/conf/{pod.link}/proxy_arp", "1"),
            (f"ipv4/conf/{pod.link}/rp_filter", "0"),
            (f"ipv4/neigh/{pod.link}/proxy_delay", "0"),
            (f"ipv6/conf/{pod.link}/accept_ra", "0"),
        ):
            self.switch(self.node, path, value)
        netns.address(self.node, pod.link, f"{GATEWAY6}/64")
        netns.ip("route", "add", pod.address, "dev", pod.link, namespace=self.node)
        netns.ip("-6", "route", "add", pod.address6, "dev", pod.link, namespace=self.node)
        self._inside(pod)
        return pod

    def _inside(self, pod: Pod) -> None:
        netns.address(pod.namespace, "eth0", f"{pod.address}/32", f"{pod.address6}/128")
        for gateway, family in ((GATEWAY, "-4"), (GATEWAY6, "-6")):
            at = ["dev", "eth0"]
            neighbour = ["lladdr", frames.HOST_MAC, *at, "nud", "permanent"]
            netns.ip("neigh", "add", gateway, *neighbour, namespace=pod.namespace)
            if family == "-4":
                netns.ip("route", "add", gateway, *at, "scope", "link", namespace=pod.namespace)
            netns.ip(
                family, "route", "add", "default", "via", gateway, *at, namespace=pod.namespace
            )


class FilterHost:
    """felix's filter in a namespace, without the rest of felix: told by hand what etcd would tell."""

    def __init__(self, namespace: str, me: NodeName = ME) -> None:
        self.namespace = namespace
        self.state = State(me)
        self._inside = ThreadPoolExecutor(1, initializer=netns.enter, initargs=(namespace,))
        self._stop = threading.Event()
        self._generation = GenerationSocket()
        self._reader = self._call(lambda: NftReader(lambda: None))
        self._thread = threading.Thread(target=self._reader.run, args=(self._stop,), daemon=True)
        self._thread.start()
        nft = NftCommand()
        self.manager = FilterManager(
            NftTables(nft, self._generation.read),
            self._reader.take,
            Forwarding(nft, IptablesLegacy()),
            forget_untranslated,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        self._inside.shutdown()
        self._generation.close()

    def configuration(self, **fields: Any) -> None:
        made = FelixConfiguration(**fields)
        self.state.fold({ResourceKey(Kind.FELIX_CONFIGURATION, "default"): change(made)})

    def pool(self, name: str, cidr: str, **fields: Any) -> None:
        """A pool; `vxlan_mode` and `ipip_mode` by Calico's words."""
        for key in ("ipip_mode", "vxlan_mode"):
            fields[key] = EncapMode(fields.get(key, "Never"))
        made = IPPool(Metadata(name), ip_network(cidr), 26, **fields)
        self.state.fold({ResourceKey(Kind.IP_POOL, name): change(made)})

    def nodes(self, *nodes: tuple[NodeName, str, str]) -> None:
        for name, address, address6 in nodes:
            made = Node(
                Metadata(name),
                ipv4_address=ip_interface(f"{address}/24"),  # type: ignore[arg-type]
                ipv6_address=ip_interface(f"{address6}/64"),  # type: ignore[arg-type]
            )
            self.state.fold({ResourceKey(Kind.NODE, name): change(made)})

    def links(self, pods: Iterable[Pod]) -> None:
        """The pods' links, as a listing of the kernel's would tell."""
        self.state.set_links(
            Link(index, pod.link, "veth", f"net.{pod.name}", up=True)
            for index, pod in enumerate(pods, 10)
        )

    def endpoint(
        self,
        pod: Pod,
        *,
        spoofable: tuple[str, ...] = (),
        floating: tuple[FloatingAddress, ...] = (),
        gone: bool = False,
    ) -> None:
        made = WorkloadEndpoint(
            Metadata(pod.name, "default"),
            "k8s",
            self.state.snapshot.me,
            "",
            pod.name,
            pod.name,
            "eth0",
            (ip_network(pod.address), ip_network(pod.address6)),
            pod.link,
            floating=floating,
            spoofable=tuple(ip_network(each) for each in spoofable),
        )
        self.state.fold({endpoint_key(pod.name): change(None if gone else made)})

    def settle(self) -> None:
        """Decide what is dirty, and apply until nothing is wrong any more."""
        self.state.set_survivors({})
        dirty, snapshot = self.state.take_dirty(), self.state.snapshot
        if dirty.any:
            self.manager.decide(dirty, snapshot)
        until = time.monotonic() + SETTLE_SECONDS
        while not self.once():
            assert time.monotonic() < until, (self.manager.report(), self.manager.warnings())
            time.sleep(0.02)

    def once(self, *, sweep: bool = False) -> bool:
        """One round of the loop."""
        return self._call(lambda: self.manager.apply(time.monotonic(), (), sweep=sweep))

    def hears(self) -> None:
        """Give the reader's thread the time to hear what was just committed."""
        time.sleep(0.1)

    def deaf(self) -> None:
        """The reader hears nothing any more."""
        self._stop.set()
        self._thread.join()

    def nft(self, *arguments: str) -> str:
        return netns.run(self.namespace, "nft", *arguments)

    def listed(self, *arguments: str) -> list[dict[str, Any]]:
        """`nft -j list ...`."""
        found: list[dict[str, Any]] = json.loads(self.nft("-j", "list", *arguments))["nftables"]
        return found

    def handles(self) -> dict[tuple[str, str], int]:
        """Our tables' numbers, which change when a table is written anew."""
        return {
            (each["table"]["family"], each["table"]["name"]): each["table"]["handle"]
            for each in self.listed("tables")
            if "table" in each
        }

    def _call(self, function: Callable[[], T]) -> T:
        return self._inside.submit(function).result()
