"""Rules and requests are held against each other, and a rule too many or too few is found."""

from __future__ import annotations

import json
from typing import Any

import yaml

from tests.support.rights import Grant, grants, refused, requests, unused

MANIFEST = """
kind: ClusterRole
metadata: {name: node}
rules:
  - {apiGroups: [""], resources: [nodes, nodes/status], verbs: [get]}
  - {apiGroups: [coordination.k8s.io], resources: [leases], verbs: [update], resourceNames: [leader]}
---
kind: ClusterRoleBinding
metadata: {name: node}
roleRef: {kind: ClusterRole, name: node}
subjects: [{kind: ServiceAccount, name: agent, namespace: felix-py}]
---
kind: Role
metadata: {name: own, namespace: felix-py}
rules: [{apiGroups: [""], resources: [secrets], verbs: [create]}]
---
kind: RoleBinding
metadata: {name: own, namespace: felix-py}
roleRef: {kind: Role, name: own}
subjects: [{kind: ServiceAccount, name: agent, namespace: felix-py}]
"""
GIVEN = grants(yaml.safe_load_all(MANIFEST))


def line(verb: str, resource: str, *, decision: str = "allow", **told: str) -> str:
    name, _, below = resource.partition("/")
    reference: dict[str, Any] = {
        "resource": name,
        **told,
        **({"subresource": below} if below else {}),
    }
    return json.dumps(
        {
            "verb": verb,
            "user": {"username": "system:serviceaccount:felix-py:agent"},
            "objectRef": reference,
            "annotations": {"authorization.k8s.io/decision": decision},
        }
    )


ALL = [
    line("get", "nodes", name="a"),
    line("get", "nodes/status", name="a"),
    line("update", "leases", apiGroup="coordination.k8s.io", name="leader", namespace="felix-py"),
    line("create", "secrets", namespace="felix-py"),
]


def test_rules_that_were_all_needed_are_no_complaint() -> None:
    assert len(GIVEN) == len(ALL)
    assert unused(GIVEN, requests(ALL)) == []


def test_a_rule_that_nobody_needed_is_named() -> None:
    left = unused(GIVEN, requests(ALL[1:]))
    assert left == [Grant("felix-py/agent", "", "", "nodes", "get")]


def test_another_object_and_another_namespace_need_no_rule_of_ours() -> None:
    other = [
        line(
            "update", "leases", apiGroup="coordination.k8s.io", name="other", namespace="felix-py"
        ),
        line("create", "secrets", namespace="default"),
    ]
    assert len(unused(GIVEN, requests(other))) == len(GIVEN)


def test_what_was_asked_in_vain_is_named() -> None:
    seen = requests([*ALL, line("list", "pods", decision="forbid"), '{"torn'])
    assert [(each.verb, each.resource) for each in refused(seen, "felix-py")] == [("list", "pods")]
    assert refused(seen, "other") == []
