"""A healthy world of two nodes with a pod each, which tests break in one place."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from ipaddress import ip_address, ip_interface, ip_network
from typing import Any

import msgspec

from felix_py.ctl.calc.explain import explain
from felix_py.ctl.calc.facts import (
    AddressFact,
    DaemonFact,
    ForwardingFact,
    HopFact,
    LinkFact,
    LookupFact,
    NeighbourFact,
    NftTableFact,
    NodeFacts,
    RouteFact,
    ToldFact,
)
from felix_py.ctl.calc.path import Explanation
from felix_py.ctl.calc.world import World
from felix_py.datastore.keys import ResourceKey
from felix_py.datastore.model import (
    AffinityState,
    Block,
    EncapMode,
    IPPool,
    Kind,
    Metadata,
    Node,
    NodeName,
    WorkloadEndpoint,
)

A, B = NodeName("a"), NodeName("b")
NODE_IP = {A: ip_address("10.1.0.11"), B: ip_address("10.2.0.11")}
GATEWAY = {A: ip_address("10.1.0.1"), B: ip_address("10.2.0.1")}
POD = {A: ip_address("10.244.0.5"), B: ip_address("10.244.1.5")}
BLOCK = {A: ip_network("10.244.0.0/26"), B: ip_network("10.244.1.0/26")}
VTEP = {A: ip_address("10.244.0.1"), B: ip_address("10.244.1.1")}
VTEP_MAC = {A: "66:00:00:00:00:0a", B: "66:00:00:00:00:0b"}
VETH = {A: "cali00a", B: "cali00b"}
MAC = "02:00:00:00:00:05"
OUTSIDE = ip_address("192.0.2.1")
OTHER = {A: B, B: A}
BGP_PROTOCOL, FELIX_PROTOCOL = 81, 80


def endpoint(node: NodeName, name: str = "") -> tuple[ResourceKey, WorkloadEndpoint]:
    """The pod of a node."""
    name = name or f"{node}-pod"
    key = ResourceKey(Kind.WORKLOAD_ENDPOINT, name, "ns")
    value = WorkloadEndpoint(
        Metadata(name, "ns"),
        "k8s",
        node,
        "",
        f"container-{node}",
        f"pod-{node}",
        "eth0",
        (ip_network(POD[node]),),
        VETH[node],
        MAC,
    )
    return key, value


def node(name: NodeName) -> Node:
    """A node with its address and VTEP."""
    return Node(
        Metadata(name),
        ipv4_address=ip_interface(f"{NODE_IP[name]}/24"),  # type: ignore[arg-type]
        ipv4_vxlan_tunnel_address=VTEP[name],  # type: ignore[arg-type]
        vxlan_tunnel_mac=VTEP_MAC[name],
    )


def pool(**changes: Any) -> IPPool:
    """The one pool."""
    return replace(IPPool(Metadata("pods"), ip_network("10.244.0.0/16"), 26), **changes)


def block(host: NodeName, cidr: NodeName | None = None) -> Block:
    """An empty block of a node."""
    return Block(BLOCK[cidr or host], f"host:{host}", None, (), (), (), 0, {})


def session(node_name: NodeName, state: str = "up") -> dict[str, Any]:
    """A node's session with the gateway of its rack."""
    return {"peer": str(GATEWAY[node_name]), "source": "BGPPeer tor", "state": state, "reason": ""}


def statuses(name: NodeName, state: str = "up") -> dict[str, dict[str, Any]]:
    """What a node's daemons say."""
    return {
        "felix": {"routes": {}, "tunnels": {"devices": []}},
        "bgp": {"sessions": [session(name, state)], "announced": [str(BLOCK[name])]},
        "cni": {},
    }


def route(name: NodeName, *, tunnel: bool) -> RouteFact:
    """The route to the other node's block: by its gateway, or by the tunnel."""
    there = OTHER[name]
    if tunnel:
        hop = HopFact("vxlan.calico", VTEP[there], onlink=True)
        return RouteFact(BLOCK[there], protocol=FELIX_PROTOCOL, metric=1024, hops=(hop,))
    hop = HopFact("eth0", GATEWAY[name])
    return RouteFact(BLOCK[there], protocol=BGP_PROTOCOL, metric=1025, hops=(hop,))


def lookups(name: NodeName, *, tunnel: bool) -> tuple[LookupFact, ...]:
    """Every question that explain asks of a node, answered as a healthy kernel does."""
    there = OTHER[name]
    default = RouteFact(ip_network("0.0.0.0/0"), protocol=3, hops=(HopFact("eth0", GATEWAY[name]),))
    own = RouteFact(ip_network(POD[name]), protocol=FELIX_PROTOCOL, hops=(HopFact(VETH[name]),))
    out = route(name, tunnel=tunnel)
    entry = "vxlan.calico" if tunnel else "eth0"
    return (
        LookupFact(POD[there], route=out),
        LookupFact(POD[there], POD[name], VETH[name], route=out),
        LookupFact(POD[name], route=own),
        LookupFact(POD[name], POD[there], entry, route=own),
        LookupFact(POD[name], OUTSIDE, "eth0", route=own),
        LookupFact(NODE_IP[there], route=default),
        LookupFact(OUTSIDE, route=default),
        LookupFact(OUTSIDE, POD[name], VETH[name], route=default),
    )


def facts(name: NodeName, *, tunnel: bool = False) -> NodeFacts:
    """What is seen of a healthy node."""
    there = OTHER[name]
    mtu = 1450 if tunnel else 1500
    links = [
        LinkFact("eth0", 2, mac=f"02:00:00:00:01:{NODE_IP[name].packed[1]:02x}", mtu=1500),
        LinkFact(VETH[name], 7, "veth", alias=f"net.container-{name}", mtu=mtu, rp_filter=1),
        LinkFact("vxlan.calico", 9, "vxlan", mtu=1450, vni=4096, port=4789, local=NODE_IP[name]),
    ]
    up = {"up": True, "running": True, "forwarding4": True, "forwarding6": True}
    told = ToldFact(
        POD[there], BLOCK[there], GATEWAY[name], GATEWAY[name], "BGPPeer tor", used=True
    )
    documents = statuses(name)
    return NodeFacts(
        name,
        backend="bgp",
        links=tuple(msgspec.structs.replace(link, **up) for link in links),
        addresses=(AddressFact("eth0", ip_interface(f"{NODE_IP[name]}/24")),),
        lookups=lookups(name, tunnel=tunnel),
        routes=(route(name, tunnel=tunnel),),
        neighbours=(
            NeighbourFact("eth0", GATEWAY[name], "02:00:00:00:00:01", "reachable"),
            NeighbourFact(VETH[name], POD[name], MAC, "reachable"),
            NeighbourFact("vxlan.calico", VTEP[there], VTEP_MAC[there], "permanent"),
        ),
        forwarding=(ForwardingFact("vxlan.calico", VTEP_MAC[there], NODE_IP[there], "permanent"),),
        sysctls={"ipv4/ip_forward": 1},
        nft=(NftTableFact("inet", "felix-py", {"postrouting": 1}),),
        told=() if tunnel else (told,),
        tellers=(GATEWAY[name],),
        daemons={d: DaemonFact(document, running=True) for d, document in documents.items()},
    )


def world(*, tunnel: bool = False, **changes: Any) -> World:
    """Everything is well: routes by the ToRs, or VXLAN between the two."""
    pools = (pool(vxlan_mode=EncapMode.ALWAYS if tunnel else EncapMode.NEVER),)
    made = World(
        pools=pools,
        nodes={A: node(A), B: node(B)},
        endpoints=dict(map(endpoint, (A, B))),
        blocks=(block(A), block(B)),
        affinities={(name, BLOCK[name]): AffinityState.CONFIRMED for name in (A, B)},
        statuses={name: statuses(name) for name in (A, B)},
        facts={name: facts(name, tunnel=tunnel) for name in (A, B)},
    )
    return replace(made, **changes)


def seen(there: World, name: NodeName, **changes: Any) -> World:
    """The same world with something else seen of a node's kernel."""
    changed = msgspec.structs.replace(there.facts[name], **changes)
    return replace(there, facts={**there.facts, name: changed})


def with_link(there: World, at: NodeName, link: str, **changes: Any) -> World:
    """The same world with another setting of a link."""
    links = [
        msgspec.structs.replace(each, **changes) if each.name == link else each
        for each in there.facts[at].links
    ]
    return seen(there, at, links=tuple(links))


def without_route(there: World, name: NodeName) -> World:
    """The node has only its default route to the other pod."""
    other = POD[OTHER[name]]
    default = there.facts[name].lookup(OUTSIDE)
    assert default is not None
    answers = [
        msgspec.structs.replace(each, route=default.route) if each.destination == other else each
        for each in there.facts[name].lookups
    ]
    return seen(there, name, lookups=tuple(answers), routes=())


def answered(there: World, name: NodeName, only: Iterable[LookupFact], error: int) -> World:
    """The same world where a node's kernel answers some questions with an error."""
    wrong = set(map(id, only))
    answers = [
        msgspec.structs.replace(each, error=error, route=None) if id(each) in wrong else each
        for each in there.facts[name].lookups
    ]
    return seen(there, name, lookups=tuple(answers))


def said(there: World, name: NodeName, daemon: str, document: Mapping[str, Any]) -> World:
    """The same world where a daemon says something else, in its file and in etcd."""
    daemons = {**there.facts[name].daemons, daemon: DaemonFact(document, running=True)}
    published = {**there.statuses[name], daemon: document}
    told = replace(there, statuses={**there.statuses, name: published})
    return seen(told, name, daemons=daemons)


def judged(there: World, *, outside: bool = False) -> Explanation:
    """From the pod of a to the pod of b, or to the world."""
    return explain(there, there.end(POD[A]), there.end(OUTSIDE if outside else POD[B]))


def named(there: World, *, outside: bool = False) -> tuple[str, str] | None:
    """(where, fault) of the first thing that is wrong."""
    step = judged(there, outside=outside).fault
    if step is None or step.finding is None:
        return None
    return step.where, step.finding.fault.value
