"""What a lab looks like: frozen values, as a topology file spells them. Pure.

A topology names racks, each with a subnet (and an IPv6 one beside it, if wanted), a ToR (its program,
AS number and outside address) and nodes; hosts outside that know nothing of pods; and what is put into
etcd: pools and BGP peers as Calico spells their specs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any, Literal

import msgspec

from felix_py.lab.errors import LabError


class _Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """A piece of the file: frozen, its fields in camel case, unknown ones refused."""


class Resource(_Part, frozen=True):
    """A resource for etcd: its name and its spec, spelled as Calico spells it, and its annotations."""

    name: str
    spec: Mapping[str, Any] = {}
    annotations: Mapping[str, str] = {}


class NodeSpec(_Part, frozen=True):
    """A node; without an AS number of its own it is in the cluster's."""

    name: str
    as_number: int | None = None


class TorSpec(_Part, frozen=True):
    """A top-of-rack router.

    nodes: `external`, eBGP with every node of the rack; `reflect`, iBGP, and it reflects with itself
    as the next hop; `none`, no sessions with nodes: it knows no pod.
    ipv6_over: whether IPv6 routes have sessions of their own with the nodes or share the IPv4 ones.
    """

    name: str
    kind: Literal["bird", "frr"]
    as_number: int
    outside: IPv4Address
    outside6: IPv6Address | None = None
    nodes: Literal["external", "reflect", "none"] = "external"
    ipv6_over: Literal["ipv6", "ipv4"] = "ipv6"


class RackSpec(_Part, frozen=True):
    """A rack: a subnet, its ToR (the first address) and its nodes (from the eleventh).

    gateway6: nodes have their IPv6 default route from the ToR's router advertisements, or by hand.
    """

    name: str
    subnet: IPv4Network
    tor: TorSpec
    nodes: tuple[NodeSpec, ...]
    subnet6: IPv6Network | None = None
    gateway6: Literal["static", "advertised"] = "static"

    @property
    def versions(self) -> tuple[int, ...]:
        """The IP versions that its machines and pods speak."""
        return (4,) if self.subnet6 is None else (4, 6)


class OutsideSpec(_Part, frozen=True):
    """A plain host on a subnet of its own behind a ToR.

    It has routes to the racks alone, so what comes from a pod's address it cannot answer; with
    knows_pods a default route through the ToR.
    """

    name: str
    tor: str
    subnet: IPv4Network
    subnet6: IPv6Network | None = None
    knows_pods: bool = False

    @property
    def versions(self) -> tuple[int, ...]:
        """The IP versions that it speaks."""
        return (4,) if self.subnet6 is None else (4, 6)


class ReflectorSpec(_Part, frozen=True):
    """A BIRD route reflector on a rack's subnet: every node is its client, ToRs learn from it too."""

    name: str
    rack: str


class KubernetesSpec(_Part, frozen=True):
    """A Kubernetes on the nodes: which of them has the control plane, and who makes the pods' network.

    network: `manifest`, our manifest with our images, as an administrator applies it; `daemons`, ours as
    programs of the machines, as in every lab; `none`, nobody. taint: pods keep off the control plane
    unless they tolerate it, as kubeadm has it. store: our etcd is the manifest's own or the lab's.
    """

    control_plane: str
    taint: bool = False
    network: Literal["manifest", "daemons", "none"] = "manifest"
    proxy: Literal["iptables", "nftables"] = "iptables"
    services: IPv4Network = IPv4Network("10.96.0.0/16")
    pods: int = 6
    """How many pods `up` starts to prove that it works."""
    store: Literal["inside", "lab"] = "inside"
    images: tuple[str, ...] = ()
    """Archives that every node has before its kubelet starts; none: what `make image` made."""
    manifests: tuple[str, ...] = ()
    """Files that are applied when the API server answers; none: manifests/felix-py.yaml."""


class Topology(_Part, frozen=True):
    """The whole lab."""

    name: str
    racks: tuple[RackSpec, ...]
    pools: tuple[Resource, ...]
    as_number: int = 64512
    mesh: bool = True
    peers: tuple[Resource, ...] = ()
    reflector: ReflectorSpec | None = None
    pods_per_node: int = 3
    outsides: tuple[OutsideSpec, ...] = ()
    backend: Literal["bgp", "vxlan", "none"] = "bgp"
    """Who carries routes between nodes: `node.backend` of every node."""
    spine: IPv4Network = IPv4Network("10.10.255.0/24")
    """Links between ToRs, each a /31 of this."""
    spine6: IPv6Network = IPv6Network("fd00:10:255::/64")
    """The same in IPv6, each a /127, where a rack has IPv6."""
    management: IPv4Network = IPv4Network("172.31.0.0/24")
    """The network by which nodes reach etcd."""
    tls: bool = False
    """etcd asks for client certificates."""
    kubernetes: KubernetesSpec | None = None

    @property
    def daemons(self) -> bool:
        """Whether nodes run our daemons as programs of their own."""
        return self.kubernetes is None or self.kubernetes.network == "daemons"

    def with_manifests(self, images: Sequence[str], manifests: Sequence[str]) -> Topology:
        """The same with a manifest, and the images that it needs, in our daemons' place. Raises LabError."""
        if not images and not manifests:
            return self
        if self.kubernetes is None:
            raise LabError(f"{self.name} has no Kubernetes to which a manifest could be applied")
        changed = msgspec.structs.replace(
            self.kubernetes,
            network="manifest" if manifests else "none",
            images=tuple(images),
            manifests=tuple(manifests),
        )
        return msgspec.structs.replace(self, kubernetes=changed)

    @property
    def has_network(self) -> bool:
        """Whether somebody makes the pods' network: our daemons, or a manifest."""
        return self.daemons or self.applied

    @property
    def applied(self) -> bool:
        """Whether our manifest is applied to a Kubernetes."""
        return self.kubernetes is not None and self.kubernetes.network == "manifest"

    @property
    def store_inside(self) -> bool:
        """Whether our etcd is one that our manifest brought, and not the lab's."""
        return self.applied and self.kubernetes is not None and self.kubernetes.store == "inside"

    @property
    def nodes(self) -> tuple[tuple[RackSpec, NodeSpec], ...]:
        """Every node with its rack, in the order of the file."""
        return tuple((rack, node) for rack in self.racks for node in rack.nodes)

    @property
    def versions(self) -> tuple[int, ...]:
        """The IP versions that routers speak with one another."""
        return tuple(sorted({version for rack in self.racks for version in rack.versions}))

    def outside_host(self, name: str) -> OutsideSpec | None:
        """The outside host of this name."""
        return next((outside for outside in self.outsides if outside.name == name), None)

    def rack_of(self, machine: str) -> RackSpec:
        """The rack in which a node, ToR, reflector or an outside host's ToR stands. Raises LabError."""
        outside = self.outside_host(machine)
        if outside is not None:
            machine = outside.tor
        for rack in self.racks:
            here = {rack.tor.name, *(node.name for node in rack.nodes)}
            if self.reflector is not None and self.reflector.rack == rack.name:
                here.add(self.reflector.name)
            if machine in here:
                return rack
        raise LabError(f"{machine}: no such node or ToR; this lab has {', '.join(self.machines)}")

    @property
    def machines(self) -> tuple[str, ...]:
        """Names of everything that has a network stack of its own, but for pods and etcd."""
        tors = [rack.tor.name for rack in self.racks]
        reflector = [self.reflector.name] if self.reflector else []
        outsides = [outside.name for outside in self.outsides]
        return (*tors, *reflector, *outsides, *(node.name for _, node in self.nodes))
