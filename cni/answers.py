"""Pure: results and errors -> the specification's JSON, per version.

0.3.1 and 0.4.0 say in each of `ips` which IP version it is and know no MTU; 1.0.0 is the other way
round, as Calico v3.32 answers (the address is a /32 without gateway, and there are no routes).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from cni.errors import UNEXPECTED, code_of
from cni.netconf import Dns
from felix_py.datastore.model import IPAddress


@dataclass(frozen=True, slots=True)
class Attachment:
    """What ADD achieved."""

    host_link: str
    ifname: str
    mac: str
    mtu: int
    netns: str
    addresses: tuple[IPAddress, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back to the runtime: the process's exit code and its standard output."""

    exit_code: int
    text: bytes = b""


OK = Answer(0)


def result(attachment: Attachment, version: str, dns: Dns) -> Answer:
    """The result of ADD."""
    pod: dict[str, Any] = {"name": attachment.ifname, "mac": attachment.mac}
    if version == "1.0.0":
        pod["mtu"] = attachment.mtu
    pod["sandbox"] = attachment.netns
    return _answer(
        0,
        {
            "cniVersion": version,
            "interfaces": [{"name": attachment.host_link}, pod],
            "ips": [_ip(address, version) for address in attachment.addresses],
            "dns": dns,
        },
    )


def failure(error: Exception, version: str) -> Answer:
    """The error object. An unexpected exception gives its type only: its text may say anything."""
    code = code_of(error)
    message = str(error) if code != UNEXPECTED else f"unexpected {type(error).__name__}"
    document = {"cniVersion": version, "code": code, "msg": message, "details": ""}
    return _answer(1, document)


def addresses_of(prev_result: Mapping[str, Any]) -> Sequence[str]:
    """The addresses, with their prefix lengths, that a result of any version names."""
    ips = prev_result.get("ips")
    entries = ips if isinstance(ips, list) else []
    return [str(entry.get("address", "")) for entry in entries if isinstance(entry, dict)]


def _ip(address: IPAddress, version: str) -> dict[str, Any]:
    entry: dict[str, Any] = {} if version == "1.0.0" else {"version": str(address.version)}
    return {**entry, "interface": 1, "address": f"{address}/{address.max_prefixlen}"}


def _answer(exit_code: int, document: dict[str, Any]) -> Answer:
    return Answer(exit_code, msgspec.json.encode(document) + b"\n")
