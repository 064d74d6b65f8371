"""How the fields of policies and rules hang together.

Reference: Calico v3.32.1 `validateRule` and its neighbours in `libcalico-go/lib/validator/v3/validator.go`,
the CEL rules in `api/pkg/apis/projectcalico/v3/{policy_common,globalnetworkpolicy}.go`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from ipaddress import ip_network
from typing import Any

from felix_py.ctl.schema.shape import Rule
from felix_py.datastore import codec_fields as fields
from felix_py.datastore.codec_fields import BadField

_WITH_PORTS = {"TCP", "UDP", "SCTP", 6, 17, 132}
_ICMP_VERSIONS: Mapping[object, int] = {"ICMP": 4, 1: 4, "ICMPv6": 6, 58: 6}
_NUMBERED = ("ports", "notPorts")


def plain_selector(path: str, text: str) -> None:
    """A selector without global()."""
    if "global(" in text:
        raise BadField(path, "global() is only for a rule's namespaceSelector; remove it")
    fields.selector(path, text)


def namespaces(path: str, text: str) -> None:
    """A selector, or global() alone."""
    if "global(" in text and text.replace(" ", "").replace("\t", "") != "global()":
        raise BadField(path, "global() must stand alone; write it as the whole selector")
    fields.selector(path, text)


def check_entity(path: str, entity: Mapping[str, Any]) -> None:
    """One side of a rule."""
    for text in entity.get("notNets", ()):
        if ip_network(text).prefixlen == 0:
            raise BadField(f"{path}.notNets", f"{text} leaves nothing over; remove it")
    services = entity.get("services")
    if services is None:
        return
    if not services.get("name"):
        raise BadField(f"{path}.services.name", "is missing; set it")
    for other in (
        *("nets", "notNets", "selector", "notSelector", "namespaceSelector", "serviceAccounts"),
    ):
        if other in entity:
            raise BadField(f"{path}.services", f"cannot go with {other}; remove one of them")


def check_icmp(path: str, icmp: Mapping[str, Any]) -> None:
    """A code stands with its type."""
    if "code" in icmp and "type" not in icmp:
        raise BadField(f"{path}.code", "needs a type; set it")


def check_path(path: str, each: Mapping[str, Any]) -> None:
    """Exactly one way to match a path."""
    if ("exact" in each) == ("prefix" in each):
        raise BadField(path, "must have either exact or prefix; correct it")


def check_rule(path: str, rule: Mapping[str, Any]) -> None:
    """A whole rule."""
    version, protocol = rule.get("ipVersion"), rule.get("protocol")
    if version not in {None, 4, 6}:
        raise BadField(f"{path}.ipVersion", f"{version} is no IP version; write 4 or 6")
    for name in ("protocol", "notProtocol"):
        needed = _ICMP_VERSIONS.get(rule.get(name))
        if needed and version and needed != version:
            raise BadField(f"{path}.{name}", f"{rule[name]} is of IPv{needed}; correct ipVersion")
    for name in ("icmp", "notICMP"):
        if name in rule and protocol not in _ICMP_VERSIONS:
            raise BadField(f"{path}.{name}", "needs protocol ICMP or ICMPv6; set it")
    _check_ports(path, rule)
    _check_families(path, rule)
    if "http" in rule and rule["action"] != "Allow":
        raise BadField(f"{path}.http", "is only for rules with action Allow; remove it")
    if "http" in rule and protocol not in {None, "TCP", 6}:
        raise BadField(f"{path}.http", "needs protocol TCP, or none; correct it")
    target = rule["destination"]
    if "services" in target and any(name in target for name in _NUMBERED):
        raise BadField(
            f"{path}.destination.services", "brings its ports; remove ports and notPorts"
        )


def _check_ports(path: str, rule: Mapping[str, Any]) -> None:
    protocol = rule.get("protocol")
    if protocol in _WITH_PORTS:
        return
    for side in ("source", "destination"):
        for name in _NUMBERED:
            for port in rule[side].get(name, ()):
                if protocol is not None or isinstance(port, int) or ":" in port:
                    problem = f"{port} needs protocol TCP, UDP or SCTP; set it"
                    raise BadField(f"{path}.{side}.{name}", problem)


def _check_families(path: str, rule: Mapping[str, Any]) -> None:
    wanted = rule.get("ipVersion")
    for side in ("source", "destination"):
        for name in ("nets", "notNets"):
            for text in rule[side].get(name, ()):
                version = ip_network(text).version
                wanted = wanted or version
                if version != wanted:
                    problem = (
                        f"{text} is not of IPv{wanted} as the rest of the rule; split the rule"
                    )
                    raise BadField(f"{path}.{side}.{name}", problem)


def _each_rule(
    path: str, spec: Mapping[str, Any], check: Callable[[str, str, Mapping[str, Any]], None]
) -> None:
    for way in ("ingress", "egress"):
        for number, rule in enumerate(spec.get(way, ())):
            check(f"{path}.{way}[{number}]", way, rule)


def _check_way(path: str, way: str, rule: Mapping[str, Any]) -> None:
    if way == "egress" and "http" in rule:
        raise BadField(f"{path}.http", "is only for ingress rules; remove it")
    wrong = "source" if way == "egress" else "destination"
    if "services" in rule[wrong]:
        problem = "is only for an ingress rule's source and an egress rule's destination; remove it"
        raise BadField(f"{path}.{wrong}.services", problem)


def _check_namespaced(path: str, way: str, rule: Mapping[str, Any]) -> None:
    _check_way(path, way, rule)
    for side in ("source", "destination"):
        if "services" in rule[side] and not rule[side]["services"].get("namespace"):
            problem = "is missing; a global policy has no namespace of its own"
            raise BadField(f"{path}.{side}.services.namespace", problem)


def check_local(path: str, spec: Mapping[str, Any]) -> None:
    """A policy of a namespace."""
    _each_rule(path, spec, _check_way)


def check_global(path: str, spec: Mapping[str, Any]) -> None:
    """A policy of the cluster."""
    _each_rule(path, spec, _check_namespaced)
    before, untracked = "preDNAT" in spec, "doNotTrack" in spec
    if before and untracked:
        raise BadField(f"{path}.preDNAT", "cannot go with doNotTrack; remove one of them")
    if (before or untracked) and "applyOnForward" not in spec:
        raise BadField(f"{path}.applyOnForward", "must be true with preDNAT and doNotTrack; set it")
    if before and ("egress" in spec or "Egress" in spec.get("types", ())):
        raise BadField(
            f"{path}.preDNAT", "is for ingress alone; remove egress rules and the type Egress"
        )


def staged(check: Rule) -> Rule:
    """The check of a staged policy: with Delete it says nothing more than what is to go."""

    def check_staged(path: str, spec: Mapping[str, Any]) -> None:
        if spec.get("stagedAction") == "Delete":
            for name in spec:
                if name not in {"stagedAction", "tier"}:
                    raise BadField(
                        f"{path}.{name}", "cannot go with stagedAction Delete; remove it"
                    )
        check(path, spec)

    return check_staged
