"""Pure: selectors and names that match nothing, so that what was written has no effect."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from felix_py.ctl.calc.plan_cluster import Cluster
from felix_py.ctl.calc.plan_effect import Effect, Weight, effects_of
from felix_py.datastore.felix_configuration import NODE_PREFIX
from felix_py.datastore.selectors import SelectorError, parse

TOPIC = "selectors"


@dataclass(frozen=True, slots=True)
class _Choice:
    """A field of an object that chooses nodes or namespaces, and how many it chooses; None: not known."""

    title: str
    text: str
    count: int | None


def selectors(before: Cluster, after: Cluster) -> list[Effect]:
    """Those that match nothing and either are new or matched something before."""
    had = {(each.title, each.text): each.count for each in _choices(before)}
    empty = [
        f"{each.title} {each.text!r}"
        for each in _choices(after)
        if each.count == 0 and had.get((each.title, each.text)) != 0
    ]
    return effects_of(TOPIC, Weight.CHANGE, "selectors or names match nothing", sorted(empty))


def _choices(cluster: Cluster) -> Iterator[_Choice]:
    nodes = [node.meta.labels for node in cluster.nodes.values()]
    namespaces = list(cluster.namespaces.values())
    for pool in cluster.pools.values():
        title = f"IPPool({pool.name}) nodeSelector"
        yield _Choice(title, pool.node_selector, _matching(pool.node_selector, nodes))
        if pool.namespace_selector and namespaces:
            title = f"IPPool({pool.name}) namespaceSelector"
            text = pool.namespace_selector
            yield _Choice(title, text, _matching(text, namespaces))
    for name, peer in cluster.peers.items():
        for field, text in (
            ("nodeSelector", peer.node_selector),
            ("peerSelector", peer.peer_selector),
        ):
            if text:
                yield _Choice(f"BGPPeer({name}) {field}", text, _matching(text, nodes))
        if peer.node is not None:
            yield _Choice(f"BGPPeer({name}) node", peer.node, int(peer.node in cluster.nodes))
    for name, felix in cluster.felix.items():
        if felix.node_selector:
            title = f"FelixConfiguration({name}) nodeSelector"
            yield _Choice(title, felix.node_selector, _matching(felix.node_selector, nodes))
    yield from _named(cluster, "FelixConfiguration", cluster.felix)
    yield from _named(cluster, "BGPConfiguration", cluster.configurations)


def _named(cluster: Cluster, kind: str, names: Iterable[str]) -> Iterator[_Choice]:
    """Objects that are for one node, by their name."""
    for name in names:
        if name.startswith(NODE_PREFIX):
            node = name.removeprefix(NODE_PREFIX)
            yield _Choice(f"{kind}({name})", node, int(node in cluster.nodes))


def _matching(selector: str, all_labels: Iterable[Mapping[str, str]]) -> int | None:
    """How many it matches, as far as that matters; None when it cannot be read."""
    try:
        parsed = parse(selector)
    except SelectorError:
        return None
    return int(any(parsed.matches(labels) for labels in all_labels))
