"""Pure: what a Kubernetes node's conditions should say of its network."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from felix_py.kube_api.model import KubeNode, NodeCondition, Ref

NETWORK, POLICY = "NetworkUnavailable", "NetworkPolicyNotEnforced"
MAX_NAMED = 10
"""NetworkPolicies that a condition names; the status names all."""


def network(name: str, statuses: Mapping[tuple[str, str], Mapping[str, Any]]) -> NodeCondition:
    """Whether pods of this node can talk, by what its felix and bgp said last."""
    wrong = _wrong(statuses.get((name, "felix")), statuses.get((name, "bgp")))
    if wrong:
        return NodeCondition(NETWORK, "True", "FelixPyIsNotReady", wrong)
    return NodeCondition(
        NETWORK, "False", "FelixPyIsReady", "felix and bgp of this node are in sync with etcd"
    )


def policy(policies: Iterable[Ref]) -> NodeCondition:
    """Whether there are NetworkPolicies, which nobody enforces."""
    names = sorted(f"{each.namespace}/{each.name}" for each in policies)
    if not names:
        return NodeCondition(POLICY, "False", "NoNetworkPolicies", "there are no NetworkPolicies")
    more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    return NodeCondition(
        POLICY,
        "True",
        "FelixPyDoesNotEnforceThem",
        f"Felix-py does not enforce NetworkPolicies; they have no effect: "
        f"{', '.join(names[:MAX_NAMED])}{more}",
    )


def is_news(node: KubeNode, condition: NodeCondition) -> bool:
    """Whether the node's own condition says something else. A `no` that was never a `yes` is no news."""
    now = node.condition(condition.type)
    if now is None:
        return condition.type != POLICY or condition.status == "True"
    return (now.status, now.reason, now.message) != (
        condition.status,
        condition.reason,
        condition.message,
    )


def gets_worse(node: KubeNode, condition: NodeCondition) -> bool:
    """Whether pods are to be kept off a node that they may run on now."""
    now = node.condition(condition.type)
    return now is not None and now.status == "False" and condition.status == "True"


def _wrong(felix: Mapping[str, Any] | None, bgp: Mapping[str, Any] | None) -> str:
    if felix is None:
        return "felix has not said yet that it is in sync with etcd"
    if bgp is None:
        return "bgp has not said yet that it is in sync with etcd"
    exabgp = bgp.get("exabgp")
    if isinstance(exabgp, dict) and exabgp.get("problem"):
        return f"bgp: {exabgp['problem']}"
    sessions = bgp.get("sessions")
    states = [each.get("state") for each in sessions or () if isinstance(each, dict)]
    if states and "up" not in states:
        return f"bgp: none of {len(states)} sessions is up"
    return ""
