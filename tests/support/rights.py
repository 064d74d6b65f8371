"""RBAC rules held against the requests that were really made, as the API server's audit log has them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any


@dataclass(frozen=True, slots=True, order=True)
class Grant:
    """One verb on one resource (`nodes`, `nodes/status`) for one account (`namespace/name`).

    namespace "": everywhere. names: only these objects; empty: all.
    """

    account: str
    namespace: str
    group: str
    resource: str
    verb: str
    names: tuple[str, ...] = ()

    def covers(self, request: Request) -> bool:
        """Whether the API server may have let the request pass for it."""
        same = (self.account, self.group, self.resource, self.verb) == (
            request.account, request.group, request.resource, request.verb
        )  # fmt: skip
        here = not self.namespace or self.namespace == request.namespace
        return same and here and (not self.names or request.name in self.names)


@dataclass(frozen=True, slots=True, order=True)
class Request:
    """What an account asked of the API server, and whether it was allowed."""

    account: str
    namespace: str
    group: str
    resource: str
    verb: str
    name: str
    allowed: bool


def grants(documents: Iterable[Mapping[str, Any]]) -> list[Grant]:
    """What a manifest's roles and bindings give to the accounts that they name."""
    known = list(documents)
    roles = {
        (each["kind"], each["metadata"].get("namespace", ""), each["metadata"]["name"]): each
        for each in known
        if each["kind"] in {"Role", "ClusterRole"}
    }
    found = set()
    for binding in known:
        if binding["kind"] in {"RoleBinding", "ClusterRoleBinding"}:
            found |= _bound(binding, roles)
    return sorted(found)


def _bound(
    binding: Mapping[str, Any], roles: Mapping[tuple[str, str, str], Mapping[str, Any]]
) -> set[Grant]:
    namespace = binding["metadata"].get("namespace", "")
    reference = binding["roleRef"]
    home = namespace if reference["kind"] == "Role" else ""
    found = set()
    for subject, rule in product(
        binding["subjects"], roles[reference["kind"], home, reference["name"]]["rules"]
    ):
        account = f"{subject['namespace']}/{subject['name']}"
        names = tuple(rule.get("resourceNames", ()))
        for group, resource, verb in product(rule["apiGroups"], rule["resources"], rule["verbs"]):
            found.add(Grant(account, namespace, group, resource, verb, names))
    return found


def requests(lines: Iterable[str]) -> list[Request]:
    """What service accounts asked for about objects, each thing once; a torn last line is left out."""
    found = set()
    for line in lines:
        try:
            event = json.loads(line)
        except ValueError:
            continue
        parts = event["user"]["username"].split(":")
        told = event.get("objectRef")
        if parts[:2] != ["system", "serviceaccount"] or not told:
            continue
        below = f"/{told['subresource']}" if "subresource" in told else ""
        found.add(
            Request(
                "/".join(parts[2:]),
                told.get("namespace", ""),
                told.get("apiGroup", ""),
                told["resource"] + below,
                event["verb"],
                told.get("name", ""),
                event.get("annotations", {}).get("authorization.k8s.io/decision") == "allow",
            )
        )
    return sorted(found)


def unused(given: Iterable[Grant], asked: Iterable[Request]) -> list[Grant]:
    """Grants that no request needed."""
    made = list(asked)
    return [grant for grant in given if not any(grant.covers(each) for each in made)]


def refused(asked: Iterable[Request], namespace: str) -> list[Request]:
    """What accounts of a namespace asked for in vain."""
    return [each for each in asked if not each.allowed and each.account.startswith(f"{namespace}/")]
