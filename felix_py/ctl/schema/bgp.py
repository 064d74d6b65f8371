"""BGP: configuration, peers and filters; how fields hang together is the codecs', but for filters.

Reference: Calico v3.32.1 `api/pkg/apis/projectcalico/v3/{bgpconfig,bgppeer,bgpfilter}.go`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import ip_network
from typing import Any

from felix_py.ctl.schema.scalars import (
    ADDRESS,
    MASKED_NETWORK,
    NAME,
    SELECTOR,
    AsNumber,
    Duration,
    community,
)
from felix_py.ctl.schema.shape import Choice, Fields, Flag, Many, Number, Rule, Text
from felix_py.datastore import codec_fields as fields
from felix_py.datastore.codec_fields import BadField

HIGHEST_PRIORITY = 2**31 - 2
_FILTER_INTERFACE = re.compile(r"[a-zA-Z0-9_.*-]{1,15}")
_PATTERN = re.compile(r"[a-zA-Z0-9_.*?\[\]-]{1,64}")
_SWITCH = Choice(("Enabled", "Disabled"))
_RANGES = Many(Fields({"cidr": MASKED_NETWORK}))
_PASSWORD = Fields(
    {
        "secretKeyRef": Fields(
            {"name": Text(), "key": Text(), "optional": Flag()}, required=("name", "key")
        )
    }
)
_PRIORITY = Number(1, HIGHEST_PRIORITY)
_COMMUNITY = Text(community)


def _filter_interface(path: str, text: str) -> None:
    if not _FILTER_INTERFACE.fullmatch(text):
        raise BadField(path, f"{text!r} is not an interface; write a name, * stands for any part")


def _pattern(path: str, text: str) -> None:
    if not _PATTERN.fullmatch(text):
        raise BadField(path, f"{text!r} is not a pattern of interfaces; write a name or eth*")


def _check_communities(path: str, spec: Mapping[str, Any]) -> None:
    if "communities" in spec and "prefixAdvertisements" not in spec:
        raise BadField(f"{path}.communities", "need prefixAdvertisements; set them")
    for name in ("nodeMeshPassword", "nodeMeshMaxRestartTime"):
        if name in spec and spec.get("nodeToNodeMeshEnabled") is False:
            raise BadField(f"{path}.{name}", "needs the mesh; enable it or remove the field")


CONFIGURATION = Fields(
    {
        "logSeverityScreen": Choice(
            ("Trace", "Debug", "Info", "Warning", "Error", "Fatal"), folded=True
        ),
        "nodeToNodeMeshEnabled": Flag(),
        "asNumber": AsNumber(),
        "serviceLoadBalancerIPs": _RANGES,
        "serviceExternalIPs": _RANGES,
        "serviceClusterIPs": _RANGES,
        "serviceLoadBalancerAggregation": _SWITCH,
        "communities": Many(
            Fields({"name": NAME, "value": _COMMUNITY}, required=("name", "value"))
        ),
        "prefixAdvertisements": Many(
            Fields({"cidr": MASKED_NETWORK, "communities": Many(Text())}, required=("cidr",))
        ),
        "listenPort": Number(1, 65535, omits_zero=True),
        "nodeMeshPassword": _PASSWORD,
        "nodeMeshMaxRestartTime": Duration(),
        "bindMode": Choice(("None", "NodeIP")),
        "ignoredInterfaces": Many(Text(_pattern)),
        "localWorkloadPeeringIPV4": Text(fields.address_v4),
        "localWorkloadPeeringIPV6": Text(fields.address_v6),
        "programClusterRoutes": _SWITCH,
        "ipv4NormalRoutePriority": _PRIORITY,
        "ipv6NormalRoutePriority": _PRIORITY,
    },
    rule=_check_communities,
)
PEER = Fields(
    {
        "node": NAME,
        "nodeSelector": SELECTOR,
        "peerIP": Text(fields.peer_address),
        "asNumber": AsNumber(omits_zero=True),
        "localASNumber": AsNumber(),
        "peerSelector": SELECTOR,
        "keepOriginalNextHop": Flag(omits_false=True),
        "nextHopMode": Choice(("Auto", "Self", "Keep")),
        "password": _PASSWORD,
        "sourceAddress": Choice(("UseNodeIP", "None")),
        "maxRestartTime": Duration(),
        "keepaliveTime": Duration(),
        "numAllowedLocalASNumbers": Number(0, 2**31 - 1),
        "ttlSecurity": Number(0, 255),
        "reachableBy": ADDRESS,
        "filters": Many(NAME),
        "localWorkloadSelector": SELECTOR,
        "reversePeering": Choice(("Auto", "Manual")),
    }
)


def _check_filter(version: int) -> Rule:
    def check(path: str, rule: Mapping[str, Any]) -> None:
        if ("cidr" in rule) != ("matchOperator" in rule):
            raise BadField(f"{path}.matchOperator", "goes with cidr; set both or none")
        if "prefixLength" in rule and "cidr" not in rule:
            raise BadField(f"{path}.prefixLength", "needs cidr; set it")
        if "cidr" in rule and ip_network(rule["cidr"]).version != version:
            raise BadField(f"{path}.cidr", f"{rule['cidr']} is not IPv{version}; move the rule")
        if "operations" in rule and rule["action"] != "Accept":
            raise BadField(f"{path}.operations", "are only for action Accept; remove them")

    return check


def _check_operation(path: str, operation: Mapping[str, Any]) -> None:
    if len(operation) != 1:
        raise BadField(path, "must have exactly one operation; split it")


def _check_values(path: str, match: Mapping[str, Any]) -> None:
    if len(match["values"]) != 1:
        raise BadField(f"{path}.values", "must have exactly one value; write a rule for each")


def _rules(version: int, longest: int) -> Many:
    length = Number(0, longest)
    return Many(
        Fields(
            {
                "cidr": MASKED_NETWORK,
                "prefixLength": Fields({"min": length, "max": length}),
                "source": Choice(("RemotePeers",)),
                "interface": Text(_filter_interface),
                "matchOperator": Choice(("Equal", "NotEqual", "In", "NotIn")),
                "peerType": Choice(("eBGP", "iBGP")),
                "communities": Fields(
                    {"values": Many(_COMMUNITY)}, required=("values",), rule=_check_values
                ),
                "asPathPrefix": Many(AsNumber()),
                "priority": _PRIORITY,
                "action": Choice(("Accept", "Reject")),
                "operations": Many(_OPERATION, at_most=10),
            },
            required=("action",),
            rule=_check_filter(version),
        )
    )


_OPERATION = Fields(
    {
        "addCommunity": Fields({"value": _COMMUNITY}, required=("value",)),
        "prependASPath": Fields({"prefix": Many(AsNumber())}, required=("prefix",)),
        "setPriority": Fields({"value": _PRIORITY}, required=("value",)),
    },
    rule=_check_operation,
)
FILTER = Fields(
    {
        "exportV4": _rules(4, 32),
        "importV4": _rules(4, 32),
        "exportV6": _rules(6, 128),
        "importV6": _rules(6, 128),
    }
)
