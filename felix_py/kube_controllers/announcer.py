"""What Kubernetes is told by us: nodes' conditions, and an event on each NetworkPolicy."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import structlog

from felix_py.kube_api.model import EventNote, KubeNode, NodeCondition, Ref
from felix_py.kube_api.port import KubeApi
from felix_py.kube_controllers.calc import conditions
from felix_py.kube_controllers.snapshot import Snapshot
from felix_py.runtime.clock import Clock

HOLD_SECONDS = 30.0
"""A node that pods may run on keeps that so long after its agents said that something is wrong: an agent
that restarts must not move the cluster's pods."""
COMPONENT = "felix-py-controllers"

log = structlog.get_logger(__name__)


class Announcer:
    """Owned by the loop's thread. Raises TransientError and KubeRefused of the API server."""

    def __init__(self, api: KubeApi, clock: Clock) -> None:
        self._api, self._clock = api, clock
        self._worse_since: dict[str, float] = {}
        self._named: set[Ref] = set()

    @property
    def waiting(self) -> frozenset[str]:
        """Nodes whose condition gets worse if it stays as it is: look at them again every round."""
        return frozenset(self._worse_since)

    def tell_nodes(self, names: Iterable[str], snapshot: Snapshot) -> set[str]:
        """Conditions of these nodes; those that could not be written."""
        left: set[str] = set()
        for name in names:
            node = snapshot.kube_nodes.get(name)
            if node is None:
                self._worse_since.pop(name, None)
                continue
            network = conditions.network(name, snapshot.statuses)
            wanted = [conditions.policy(snapshot.policies)]
            if self._may_say(node, network):
                wanted.append(network)
            if not all(self._say(node, each) for each in wanted):
                left.add(name)
        return left

    def name_policies(self, snapshot: Snapshot) -> None:
        """Each NetworkPolicy once, in the log and as an event on it."""
        self._named &= set(snapshot.policies)
        for ref in sorted(set(snapshot.policies) - self._named):
            log.warning("NetworkPolicy is not enforced", policy=f"{ref.namespace}/{ref.name}")
            uid = snapshot.policies[ref].meta.uid
            message = "Felix-py does not enforce NetworkPolicies: this one has no effect"
            self._api.note(EventNote(ref, uid, "NotEnforced", message, COMPONENT))
            self._named.add(ref)

    def forget(self) -> None:
        """Another one led meanwhile: begin anew."""
        self._worse_since.clear()
        self._named.clear()

    def _may_say(self, node: KubeNode, condition: NodeCondition) -> bool:
        name, now = node.meta.name, self._clock.now()
        if not conditions.gets_worse(node, condition):
            self._worse_since.pop(name, None)
            return True
        return now - self._worse_since.setdefault(name, now) >= HOLD_SECONDS

    def _say(self, node: KubeNode, condition: NodeCondition) -> bool:
        if not conditions.is_news(node, condition):
            return True
        stamped = replace(condition, changed_at=f"{self._clock.wall():%Y-%m-%dT%H:%M:%SZ}")
        log.info(
            "node condition",
            node=node.meta.name,
            type=condition.type,
            status=condition.status,
            reason=condition.message,
        )
        return self._api.set_node_condition(node.meta.name, stamped)
