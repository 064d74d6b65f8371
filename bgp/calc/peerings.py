"""Pure: which BGP sessions this node should have, and why the others are not there.

Calico v3.32 (confd/pkg/backends/calico/bgp_processor.go): the mesh, cluster-wide BGPPeers, BGPPeers of a
node or of the nodes that a selector names. One session per address: a cluster-wide BGPPeer wins over
one of a node, which wins over the mesh; ties go to the smaller name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from bgp.calc.configuration import DEFAULT_PORT, as_of, effective
from bgp.calc.peer_object import FAMILIES, families_of, name_of, not_served
from bgp.calc.roster import Roster
from bgp.model import Family, IPAddress, Peering
from felix_py.datastore.model import Node, NodeName
from felix_py.datastore.model_bgp import BGPConfiguration, BGPPeer
from felix_py.datastore.selectors import SelectorError

DEFAULT_RESTART_SECONDS = 120
MAX_RESTART_SECONDS = 4095
"""RFC 4724 section 3: twelve bits."""

SecretRef = tuple[str, str]


class Facts(Protocol):
    """The part of the snapshot that sessions are a function of."""

    @property
    def me(self) -> NodeName:
        """This node."""
        ...

    @property
    def nodes(self) -> Mapping[NodeName, Node]:
        """Every node."""
        ...

    @property
    def configurations(self) -> Mapping[str, BGPConfiguration]:
        """BGPConfiguration by name."""
        ...

    @property
    def peers(self) -> Mapping[str, BGPPeer]:
        """BGPPeers by name."""
        ...


@dataclass(frozen=True, slots=True)
class Sessions:
    """The sessions, ordered by address; those refused, by name; what an operator should look at."""

    peerings: tuple[Peering, ...] = ()
    refused: Mapping[str, str] = field(default_factory=dict)
    """`BGPPeer tor-a` or `mesh node-2` -> reason."""
    warnings: tuple[str, ...] = ()


def wanted_secrets(facts: Facts) -> frozenset[SecretRef]:
    """Every secret that a session of this node may need, for the adapter to read."""
    wanted = {peer.password_secret for peer in facts.peers.values()}
    wanted.add(effective(facts.configurations, facts.me).mesh_password_secret)
    return frozenset(secret for secret in wanted if secret is not None)


def sessions(
    facts: Facts,
    secrets: Mapping[SecretRef, str],
    max_prefixes: int,
    roster: Roster | None = None,
) -> Sessions:
    """The sessions of this node; nothing when etcd has no Node object for it.

    roster: of the same nodes, for who decides for many of them.
    """
    me = facts.nodes.get(facts.me)
    if me is None:
        return Sessions(
            warnings=(f"Node {facts.me} is not in etcd: no BGP session until it is created",)
        )
    return _Deciding(facts, me, secrets, max_prefixes, roster or Roster(facts.nodes)).all()


class _Deciding:
    """One run of the decision: what it collects and what it looks things up in."""

    def __init__(
        self,
        facts: Facts,
        me: Node,
        secrets: Mapping[SecretRef, str],
        max_prefixes: int,
        roster: Roster,
    ) -> None:
        self._facts = facts
        self._me = me
        self._secrets = secrets
        self._max_prefixes = max_prefixes
        self._configuration = effective(facts.configurations, facts.me)
        self._refused: dict[str, str] = {}
        self._warnings: list[str] = []
        self._roster = roster
        self._own = {i.ip for i in (me.ipv4_address, me.ipv6_address) if i is not None}

    def all(self) -> Sessions:
        chosen: dict[IPAddress, Peering] = {}
        for peering in self._in_order():
            if peering.peer not in self._own:
                chosen.setdefault(peering.peer, peering)
        if self._me.route_reflector_cluster_id:
            self._warnings.append(
                f"Node {self._me.name}: routeReflectorClusterID takes it out of the mesh, but "
                "reflecting is not served; let BIRD or FRR reflect"
            )
        ordered = sorted(chosen.values(), key=lambda p: (p.peer.version, int(p.peer)))
        return Sessions(tuple(ordered), self._refused, tuple(self._warnings))

    def _in_order(self) -> Iterator[Peering]:
        by_name = sorted(self._facts.peers.values(), key=lambda peer: peer.meta.name)
        for peer in by_name:
            if peer.node is None and not peer.node_selector:
                yield from self._explicit(peer)
        for peer in by_name:
            if (peer.node is not None or peer.node_selector) and self._is_for_me(peer):
                yield from self._explicit(peer)
        yield from self._mesh()

    def _is_for_me(self, peer: BGPPeer) -> bool:
        if peer.node is not None:
            if peer.node not in self._facts.nodes:
                self._warn(peer, f"node {peer.node} is not in etcd")
            return peer.node == self._facts.me
        matching = self._matching(peer, peer.node_selector, "nodeSelector")
        return self._facts.me in matching

    def _matching(self, peer: BGPPeer, selector: str, where: str) -> Mapping[NodeName, Node]:
        try:
            found = self._roster.selected(selector)
        except SelectorError as error:
            self._refused[name_of(peer)] = f"spec.{where}: {error}"
            return {}
        if not found:
            self._warn(peer, f"{where} {selector!r} matches no node")
        return found

    def _warn(self, peer: BGPPeer, text: str) -> None:
        self._warnings.append(f"{name_of(peer)}: {text}")

    def _explicit(self, peer: BGPPeer) -> Iterator[Peering]:
        families, wrong = families_of(peer)
        reason = not_served(peer) or wrong
        if reason is not None:
            self._refused[name_of(peer)] = reason
            return
        if peer.reachable_by is not None:
            self._warn(peer, "reachableBy is not served: the underlay must have the route itself")
        if not peer.use_node_ip:
            self._warn(peer, "sourceAddress None is not served: the node's address is used")
        if peer.peer_selector:
            if families:
                self._warn(peer, f"{FAMILIES}: nodes have a session per family; passed over")
            for node in self._matching(peer, peer.peer_selector, "peerSelector").values():
                if node.name != self._facts.me:
                    yield from self._towards_node(node, _Options.of(peer))
            return
        assert peer.peer_ip is not None
        owner = self._roster.owners.get(peer.peer_ip)
        asn = peer.as_number
        if asn is None and owner is not None:
            asn = as_of(owner, self._configuration)
        if asn is None:
            self._refused[name_of(peer)] = "spec.asNumber is missing; set the peer's AS number"
            return
        port = peer.peer_port or (DEFAULT_PORT if owner is None else self._port_of(owner))
        yield from self._session(peer.peer_ip, asn, port, _Options.of(peer, families))

    def _mesh(self) -> Iterator[Peering]:
        if not self._configuration.mesh_enabled or self._me.route_reflector_cluster_id:
            return
        for name in sorted(self._facts.nodes):
            node = self._facts.nodes[name]
            if name != self._facts.me and not node.route_reflector_cluster_id:
                options = _Options(
                    source=f"mesh {name}",
                    secret=self._configuration.mesh_password_secret,
                    restart_seconds=self._configuration.mesh_max_restart_seconds,
                )
                yield from self._towards_node(node, options)

    def _towards_node(self, node: Node, options: _Options) -> Iterator[Peering]:
        asn, port = as_of(node, self._configuration), self._port_of(node)
        for interface in (node.ipv4_address, node.ipv6_address):
            if interface is not None and self._local(interface.version) is not None:
                yield from self._session(interface.ip, asn, port, options)

    def _port_of(self, node: Node) -> int:
        return effective(self._facts.configurations, node.name).listen_port

    def _local(self, version: int) -> IPAddress | None:
        mine = self._me.ipv4_address if version == 4 else self._me.ipv6_address
        return None if mine is None else mine.ip

    def _session(
        self, peer: IPAddress, asn: int, port: int, options: _Options
    ) -> Iterator[Peering]:
        local = self._local(peer.version)
        password = "" if options.secret is None else self._secrets.get(options.secret)
        if peer in self._own:
            return
        if local is None:
            family = f"ipv{peer.version}Address"
            self._refused[options.source] = f"this Node has no spec.bgp.{family}; peer {peer}"
        elif self._me.ipv4_address is None:
            self._refused[options.source] = (
                "this Node has no spec.bgp.ipv4Address to take the router id from"
            )
        elif password is None or (options.secret is not None and not password):
            name, key = options.secret or ("", "")
            self._refused[options.source] = (
                f"password: secret {name!r} key {key!r} cannot be read; put it into "
                f"<bgp.secretsDir>/{name}/{key}"
            )
        else:
            own_as = options.local_as or as_of(self._me, self._configuration)
            router_id = self._me.ipv4_address.ip
            base = Peering(peer, local, own_as, asn, router_id, port=port, password=password)
            other = self._local(10 - peer.version)
            if options.families and other is None:
                self._warnings.append(
                    f"{options.source}: {FAMILIES}: this Node has no IPv{10 - peer.version} address"
                )
            yield options.applied(base, self._max_prefixes, other)


@dataclass(frozen=True, slots=True)
class _Options:
    """What a BGPPeer or the mesh says of its sessions, whatever the address."""

    source: str
    secret: SecretRef | None = None
    restart_seconds: int | None = None
    local_as: int | None = None
    allowed_local_as: int = 0
    ttl_security: int | None = None
    families: tuple[Family, ...] = ()
    """Both, when the session shall carry both; else that of its address."""

    @classmethod
    def of(cls, peer: BGPPeer, families: tuple[Family, ...] = ()) -> _Options:
        return cls(
            source=name_of(peer),
            secret=peer.password_secret,
            restart_seconds=peer.max_restart_seconds,
            local_as=peer.local_as_number,
            allowed_local_as=peer.allowed_local_as,
            ttl_security=peer.ttl_security,
            families=families,
        )

    def applied(self, base: Peering, max_prefixes: int, other: IPAddress | None) -> Peering:
        """The session with these options; `other`: our address of the other IP version."""
        own = Family.IPV4 if base.peer.version == 4 else Family.IPV6
        both = bool(self.families) and other is not None
        restart = DEFAULT_RESTART_SECONDS if self.restart_seconds is None else self.restart_seconds
        return replace(
            base,
            families=self.families if both else (own,),
            second=other if both else None,
            restart_seconds=max(0, min(restart, MAX_RESTART_SECONDS)),
            ttl_security=self.ttl_security,
            allowed_local_as=self.allowed_local_as,
            max_prefixes=max_prefixes,
            source=self.source,
        )
