"""Pure: BGP sessions that come, go or are reset, as each node's agent decides them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from bgp.calc.peerings import Sessions, wanted_secrets
from bgp.calc.peerings import sessions as sessions_of
from bgp.calc.roster import Roster
from bgp.model import Peering
from felix_py.ctl.calc.plan_cluster import Cluster, Seat
from felix_py.ctl.calc.plan_effect import Effect, Weight, effects_of
from felix_py.ctl.calc.plan_mesh import Mesh, Pair, Tally, mesh_of, pair_of, tally
from felix_py.datastore.calc.reachability import Backend, address_of
from felix_py.datastore.model import IPAddress, Metadata, NodeName
from felix_py.datastore.model_bgp import BGPConfiguration

TOPIC = "sessions"
MAX_PREFIXES = 20_000
"""Each node's own setting; it is the same before and after."""

Ends = Mapping[IPAddress, Peering]
"""What each of our ends of a session is, by its local address."""


@dataclass(frozen=True, slots=True)
class Network:
    """All sessions: those of BGPPeers by pair, and the mesh. refused: what makes none, and why."""

    cluster: Cluster = field(default_factory=Cluster)
    explicit: Mapping[Pair, Mapping[IPAddress, Peering]] = field(default_factory=dict)
    mesh: Mesh = field(default_factory=Mesh)
    refused: Mapping[str, str] = field(default_factory=dict)

    def ends(self, pair: Pair) -> Ends | None:
        """Our ends of a session; None: there is none."""
        by_mesh = self._by_mesh(pair) if self.mesh.has(pair) else {}
        return {**by_mesh, **self.explicit.get(pair, {})} or None

    def _by_mesh(self, pair: Pair) -> Ends:
        """What the mesh makes of one session, decided for its two nodes as they would."""
        nodes = self.cluster.nodes
        names = [self.mesh.node_of(address) for address in pair]
        two = Cluster(
            nodes={name: nodes[name] for name in names}, configurations=self.cluster.configurations
        )
        return {
            peering.local: peering
            for name in names
            for peering in _decided(Seat.of(name, two), Roster(two.nodes)).peerings
            if pair_of(peering.local, peering.peer) == pair
        }


def sessions(before: Cluster, after: Cluster) -> list[Effect]:
    """What becomes of them."""
    if before.same_as(after, "nodes", "peers", "configurations"):
        return []
    old, new = network_of(before), network_of(after)
    apart = old.explicit.keys() | new.explicit.keys()
    found = tally(old.mesh, new.mesh, apart)
    named: dict[str, list[str]] = {"added": [], "removed": [], "reset": []}
    for pair in sorted(apart, key=lambda pair: (pair[0].version, int(pair[0]), int(pair[1]))):
        was, now = old.ends(pair), new.ends(pair)
        found.note(was, now)
        if was != now:
            what = "added" if was is None else "removed" if now is None else "reset"
            named[what].append(f"{pair[0]} - {pair[1]}")
    return [
        *_alone(before, after, old, new),
        *_counted(found, named),
        *_refused(old.refused, new.refused),
    ]


def network_of(cluster: Cluster) -> Network:
    """Every node's decision, the mesh apart."""
    configurations = _without_mesh(cluster.configurations)
    roster = Roster(cluster.nodes)
    explicit: dict[Pair, dict[IPAddress, Peering]] = {}
    refused: dict[str, str] = {}
    for name in cluster.nodes:
        if cluster.backend(name) is not Backend.BGP or not cluster.peers:
            continue
        decided = _decided(Seat(name, cluster, configurations), roster)
        for peering in decided.peerings:
            pair = pair_of(peering.local, peering.peer)
            explicit.setdefault(pair, {})[peering.local] = peering
        refused |= decided.refused
    return Network(cluster, explicit, mesh_of(cluster), refused)


def _decided(seat: Seat, roster: Roster) -> Sessions:
    """A node's own decision. A password counts by where it is kept: felixctl cannot read it."""
    secrets = {each: "/".join(each) for each in wanted_secrets(seat)}
    decided = sessions_of(seat, secrets, MAX_PREFIXES, roster)
    return replace(decided, peerings=tuple(replace(p, source="") for p in decided.peerings))


def _counted(found: Tally, named: Mapping[str, list[str]]) -> list[Effect]:
    effects: list[Effect] = []
    for text, count, what in (
        ("sessions go down and do not come back", found.removed, "removed"),
        ("sessions are reset", found.reset, "reset"),
        ("sessions come up", found.added, "added"),
    ):
        effects += effects_of(TOPIC, Weight.CHANGE, text, named[what], count)
    return [*effects, *effects_of(TOPIC, Weight.NOTE, "sessions stay up", (), found.kept)]


def _refused(before: Mapping[str, str], after: Mapping[str, str]) -> list[Effect]:
    fresh = [f"{name}: {why}" for name, why in sorted(after.items()) if before.get(name) != why]
    return effects_of(TOPIC, Weight.CHANGE, "peerings make no session", fresh)


def _alone(before: Cluster, after: Cluster, old: Network, new: Network) -> list[Effect]:
    had, have = _per_node(before, old), _per_node(after, new)
    alone = sorted(name for name in after.nodes if had.get(name) and not have.get(name))
    return effects_of(TOPIC, Weight.LOSS, "nodes are left without any session", alone)


def _per_node(cluster: Cluster, network: Network) -> Mapping[NodeName, int]:
    """How many sessions each node has."""
    sizes = Counter(ip.version for ip in network.mesh.members)
    by_address: Counter[IPAddress] = Counter()
    for pair in network.explicit:
        for ip in _ours(network, pair):
            by_address[ip] += 1
    overlapping = (pair for pair in network.explicit if network.mesh.has(pair))
    twice = Counter(ip for pair in overlapping for ip in pair)
    counts: dict[NodeName, int] = {}
    for name, node in cluster.nodes.items():
        interfaces = (address_of(node, version) for version in (4, 6))
        counts[name] = sum(
            by_address[i.ip]
            + (sizes[i.version] - 1 - twice[i.ip] if i.ip in network.mesh.members else 0)
            for i in interfaces
            if i is not None
        )
    return counts


def _ours(network: Network, pair: Pair) -> Iterable[IPAddress]:
    return pair if network.mesh.has(pair) else network.explicit[pair]


def _without_mesh(configurations: Mapping[str, BGPConfiguration]) -> Mapping[str, BGPConfiguration]:
    default = configurations.get("default") or BGPConfiguration(Metadata(name="default"))
    return {**configurations, "default": replace(default, mesh_enabled=False)}
