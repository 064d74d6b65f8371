"""Pure: what is wrong according to daemons' status documents, one sentence each.

Documents come from files and from etcd and are not trusted: what does not have the expected shape
says nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

CONTROLLERS = "kube-controllers"
"""The cluster's own process, where there is Kubernetes."""
DAEMONS = ("felix", "bgp", "cni")
"""The daemons of a node, in the order in which they are shown."""


def state_of(document: Mapping[str, Any] | None, *, running: bool) -> str:
    """One word for a daemon: not running, frozen, starting, etcd away, ok."""
    if document is None or not running:
        return "not running"
    store = mapping(document.get("store"))
    if store.get("frozen"):
        return "frozen"
    if not store.get("inSync"):
        return "starting"
    return "ok" if store.get("connected") else "etcd away"


def problems(daemon: str, document: Mapping[str, Any] | None, *, running: bool) -> list[str]:
    """Everything that is wrong with one daemon of a node."""
    state = state_of(document, running=running)
    if document is None or state == "not running":
        return [f"{daemon} is not running; see its log"]
    found = []
    frozen = mapping(document.get("store")).get("frozen")
    if state == "frozen":
        found.append(f"{daemon} is frozen: {frozen}; see `felixctl ipam recover`")
    elif state == "etcd away":
        found.append(f"{daemon}: etcd does not answer; traffic goes on as it was")
    elif state == "starting":
        found.append(f"{daemon}: not in sync with etcd yet")
    found += [f"{daemon}: {text}" for text in texts(document.get("warnings"))]
    for entry in mappings(document.get("invalid")):
        found.append(f"{entry.get('key')}: {entry.get('reason')}; it counts as absent")
    specific = {"felix": _felix, "bgp": _bgp, CONTROLLERS: _controllers}.get(daemon)
    return found + ([] if specific is None else specific(document))


def _controllers(document: Mapping[str, Any]) -> list[str]:
    found = [
        f"NetworkPolicy {name} is not enforced: it has no effect"
        for name in texts(document.get("networkPolicies"))
    ]
    missing = mapping(document.get("missing"))
    found += [
        f"node {name} is gone from Kubernetes; what it holds is given back after its grace"
        for name in texts(missing.get("nodes"))
    ]
    return found


def _felix(document: Mapping[str, Any]) -> list[str]:
    routes, links = mapping(document.get("routes")), mapping(document.get("links"))
    found = [
        f"route {entry.get('prefix')} is refused by the kernel: {entry.get('reason')}"
        for entry in mappings(routes.get("failed"))
    ]
    found += [
        f"route {entry.get('prefix')} metric {entry.get('metric')} belongs to protocol "
        f"{entry.get('protocol')}; {entry.get('do')}"
        for entry in mappings(routes.get("foreign"))
    ]
    found += [
        f"pod {entry.get('pod')} on {entry.get('link')} is not in etcd; its route is kept: see the "
        "cni server's warnings, or recreate the pod"
        for entry in mappings(document.get("unregistered"))
    ]
    found += [
        f"link {entry.get('link')} cannot be set: {entry.get('reason')}"
        for entry in mappings(links.get("failed"))
    ]
    return found


def _bgp(document: Mapping[str, Any]) -> list[str]:
    found = [
        f"session with {entry.get('peer')} ({entry.get('source')}) is down"
        + (f": {entry['reason']}" if entry.get("reason") else "")
        for entry in mappings(document.get("sessions"))
        if entry.get("state") != "up"
    ]
    found += [
        f"peering {entry.get('source')} is refused: {entry.get('reason')}"
        for entry in mappings(document.get("refusedPeerings"))
    ]
    learned = mapping(document.get("learned"))
    found += [
        f"next hop {entry.get('nextHop')} cannot be resolved: {entry.get('reason')}"
        for entry in mappings(learned.get("unresolvedNextHops"))
    ]
    found += [
        f"learned route {entry.get('prefix')} is not written: {entry.get('reason')}"
        for entry in mappings(learned.get("notWritten"))
    ]
    problem = mapping(document.get("exabgp")).get("problem")
    return found + ([f"ExaBGP: {problem}"] if problem else [])


def mapping(value: object) -> Mapping[str, Any]:
    """The value if it is a mapping, else an empty one."""
    return value if isinstance(value, dict) else {}


def mappings(value: object) -> Iterable[Mapping[str, Any]]:
    """The mappings in a list, if it is one."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def texts(value: object) -> list[str]:
    """The texts in a list, if it is one."""
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []
