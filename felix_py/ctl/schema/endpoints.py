"""Endpoints of hosts and workloads, sets of networks, profiles.

Reference: Calico v3.32.1 `api/pkg/apis/projectcalico/v3/{hostendpoint,networkset,profile}.go`,
`libcalico-go/lib/apis/internalapi/workloadendpoint.go`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from felix_py.ctl.schema.policy import RULES
from felix_py.ctl.schema.scalars import (
    ADDRESS,
    MASKED_NETWORK,
    NAME,
    NETWORK,
    Protocol,
    label,
)
from felix_py.ctl.schema.shape import Anything, Fields, Many, Number, Text, Words
from felix_py.datastore import codec_fields as fields
from felix_py.datastore.codec_fields import BadField


def _interface(path: str, text: str) -> None:
    if text != "*":
        fields.interface_name(path, text)


def _check_host(path: str, spec: Mapping[str, Any]) -> None:
    if not spec.get("interfaceName") and not spec.get("expectedIPs"):
        raise BadField(
            f"{path}.interfaceName", "is missing; set it (to '*' for all) or expectedIPs"
        )


def _check_names(path: str, spec: Mapping[str, Any]) -> None:
    seen: set[tuple[object, object]] = set()
    for number, port in enumerate(spec.get("ports", ())):
        key = (port.get("name"), port.get("protocol"))
        if key in seen:
            raise BadField(f"{path}.ports[{number}]", f"{key[0]} is there already; rename it")
        seen.add(key)


def _check_host_endpoint(path: str, spec: Mapping[str, Any]) -> None:
    _check_host(path, spec)
    _check_names(path, spec)


_PORT = {
    "name": Text(keeps_empty=True),
    "protocol": Protocol(),
    "port": Number(0, 65535),
}
HOST_ENDPOINT = Fields(
    {
        "node": NAME,
        "interfaceName": Text(_interface),
        "expectedIPs": Many(ADDRESS),
        "profiles": Many(NAME),
        "ports": Many(
            Fields({**_PORT, "port": Number(1, 65535)}, required=("name", "protocol", "port"))
        ),
    },
    required=("node",),
    rule=_check_host_endpoint,
)
WORKLOAD_ENDPOINT = Fields(
    {
        "orchestrator": Text(),
        "workload": Text(),
        "node": NAME,
        "containerID": Text(fields.container_id),
        "pod": Text(),
        "endpoint": Text(),
        "serviceAccountName": Text(),
        "ipNetworks": Many(MASKED_NETWORK),
        "ipNATs": Many(Fields({"internalIP": ADDRESS, "externalIP": ADDRESS})),
        "ipv4Gateway": Text(fields.address_v4),
        "ipv6Gateway": Text(fields.address_v6),
        "profiles": Many(Text()),
        "interfaceName": Text(fields.interface_name),
        "mac": Text(fields.mac),
        "ports": Many(
            Fields(
                {**_PORT, "hostPort": Number(0, 65535), "hostIP": Text(keeps_empty=True)},
                always={"name": "", "hostPort": 0, "hostIP": ""},
            )
        ),
        "allowSpoofedSourcePrefixes": Many(NETWORK),
        "qosControls": Anything(),
    },
    rule=_check_names,
)
NETWORK_SET = Fields({"nets": Many(NETWORK)})
PROFILE = Fields({"ingress": RULES, "egress": RULES, "labelsToApply": Words(label)})
