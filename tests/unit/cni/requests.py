"""Requests as a runtime makes them, for tests."""

from __future__ import annotations

import json
from typing import Any

from cni.request import RawRequest, Request, parse

CONTAINER = "0123456789abcdef" * 4
K8S_ARGS = (
    "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=nginx-1;"
    "K8S_POD_INFRA_CONTAINER_ID=abc;K8S_POD_UID=u"
)


def conf(**changes: Any) -> dict[str, Any]:
    """A small valid configuration with changes."""
    return {"cniVersion": "1.0.0", "name": "k8s-pod-network", "type": "felix-py", **changes}


def raw(command: str = "ADD", args: str = "", **changes: Any) -> RawRequest:
    """A raw request; `conf` fields are changed by keyword."""
    return RawRequest(
        command, CONTAINER, "/var/run/netns/x", "eth0", args, json.dumps(conf(**changes)).encode()
    )


def request(command: str = "ADD", args: str = "", **changes: Any) -> Request:
    """A parsed request."""
    return parse(raw(command, args, **changes))
