"""Rules of Calico's API v1 as v3 has them. Pure. Reference: `libcalico-go/lib/upgrade/converters/rule.go`."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_network
from typing import Any

from felix_py.runtime.errors import RefusedError

_PROTOCOLS = {name.lower(): name for name in ("TCP", "UDP", "ICMP", "ICMPv6", "SCTP", "UDPLite")}
_ACTIONS = {"": "Allow", "next-tier": "Pass"}
_SAME = ("ipVersion", "icmp", "notICMP")
_OLD_NAMESPACE_LABEL = "calico/k8s_ns"
_NAMESPACE_LABEL = "projectcalico.org/namespace"


class ConvertError(RefusedError):
    """A document that v3 has no form for; names the field."""


def rules(given: object) -> list[dict[str, Any]]:
    """A list of rules. Raises ConvertError."""
    return [_rule(mapping(each)) for each in (given if isinstance(given, list) else ())]


def selector(text: object) -> str:
    """A selector with the namespace's label as it is called now."""
    return str(text or "").replace(_OLD_NAMESPACE_LABEL, _NAMESPACE_LABEL)


def mapping(value: object) -> Mapping[str, Any]:
    """The mapping, or an empty one for anything else."""
    return value if isinstance(value, Mapping) else {}


def _rule(rule: Mapping[str, Any]) -> dict[str, Any]:
    action = str(rule.get("action") or "").lower()
    made: dict[str, Any] = {"action": _ACTIONS.get(action, action.capitalize())}
    for name in ("protocol", "notProtocol"):
        if rule.get(name) is not None:
            made[name] = _PROTOCOLS.get(str(rule[name]).lower(), rule[name])
    made |= {name: rule[name] for name in _SAME if rule.get(name) is not None}
    for side in ("source", "destination"):
        made[side] = _entity(mapping(rule.get(side)))
    return made


def _entity(entity: Mapping[str, Any]) -> dict[str, Any]:
    made = {
        "nets": _nets(entity, "nets", "net"),
        "notNets": _nets(entity, "notNets", "notNet"),
        "selector": _tagged(entity.get("selector"), entity.get("tag")),
        "notSelector": _tagged(entity.get("notSelector"), entity.get("notTag")),
        "ports": entity.get("ports"),
        "notPorts": entity.get("notPorts"),
    }
    return {name: value for name, value in made.items() if value}


def _nets(entity: Mapping[str, Any], several: str, one: str) -> list[str]:
    texts = [*(entity.get(several) or ()), *([entity[one]] if entity.get(one) else ())]
    try:
        return [str(ip_network(str(text), strict=False)) for text in texts]
    except ValueError as error:
        raise ConvertError(f"{several}: {error}") from None


def _tagged(text: object, tag: object) -> str:
    """Tags are labels without a value now."""
    plain = selector(text)
    if not tag:
        return plain
    return f"({plain}) && {tag} == ''" if plain else f"{tag} == ''"
