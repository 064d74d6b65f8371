"""Peerings to the text of ExaBGP's configuration file: full blocks, nothing inherited.

A template's values would win over a neighbour's own, so there are none. The process comes first,
because an error before it ends the running handler. Names after `api` are unique over the file.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

from bgp.model import Family, IPAddress, Peering

PROCESS = "felix-py-relay"
MAX_RESTART_SECONDS = 4095
"""RFC 4724: the restart time has 12 bits."""
MAX_PASSWORD_BYTES = 80
"""TCP_MD5SIG_MAXKEYLEN of the kernel."""

MARK_DIGITS = 16
DESCRIPTION = re.compile(r'description "felix-py [0-9a-f]*";')
PASSWORD = re.compile(r"[ !#-\[\]-~]+")
"""Printable ASCII without the quote and the backslash, which the file could not carry."""


def render(peerings: Sequence[Peering], relay_command: str) -> str:
    """The whole file. `relay_command`: absolute program and arguments of ExaBGP's handler.

    Peerings are written in the order of their addresses, so that equal sets give equal text. Every
    neighbour's description tells this text from any other: a changed one resets no session, and
    ExaBGP shows that of the file it has loaded.
    Raises ValueError naming the peer and the field that cannot be written.
    """
    ordered = sorted(peerings, key=lambda peering: (peering.peer.version, int(peering.peer)))
    for peering in ordered:
        check(peering)
    process = _process(relay_command)
    plain = "\n".join([process, *(_neighbor(peering, "") for peering in ordered)])
    mark = hashlib.sha256(plain.encode("ascii")).hexdigest()[:MARK_DIGITS]
    return "\n".join([process, *(_neighbor(peering, mark) for peering in ordered)])


def described(text: str) -> str:
    """The description line of this text's neighbours, as the file and `show neighbor` spell it."""
    found = DESCRIPTION.search(text)
    return "" if found is None else found[0]


def check(peering: Peering) -> None:
    """Raises ValueError, naming the field, when ExaBGP could not take this peering."""
    at = f"peer {peering.peer}"
    if peering.peer.version != peering.local.version:
        raise ValueError(f"{at}: local address {peering.local} is of another family")
    if not peering.families:
        raise ValueError(f"{at}: families: at least one is needed")
    if peering.password and not PASSWORD.fullmatch(peering.password):
        raise ValueError(f"{at}: password: only printable ASCII without quote and backslash")
    if len(peering.password) > MAX_PASSWORD_BYTES:
        raise ValueError(f"{at}: password: longer than {MAX_PASSWORD_BYTES} bytes")
    if peering.hold_seconds != 0 and not 3 <= peering.hold_seconds <= 65535:
        raise ValueError(f"{at}: hold time {peering.hold_seconds}: 0 or 3 to 65535 seconds")
    if not 0 <= peering.restart_seconds <= MAX_RESTART_SECONDS:
        raise ValueError(f"{at}: restart time {peering.restart_seconds}: 0 to 4095 seconds")
    if peering.ttl_security is not None and not 1 <= peering.ttl_security <= 254:
        raise ValueError(f"{at}: ttl security {peering.ttl_security}: 1 to 254 hops")


def api_name(peer: IPAddress) -> str:
    """The name of the neighbour's api section: unique, made of letters, digits and `_`."""
    return "p" + str(peer).replace(".", "_").replace(":", "_").replace("%", "_")


def _process(relay_command: str) -> str:
    return (
        f"process {PROCESS} {{\n"
        f"    run {relay_command};\n"
        "    encoder json;\n"
        "    respawn true;\n"
        "}\n"
    )


def _neighbor(peering: Peering, mark: str) -> str:
    lines = [
        f'description "felix-py {mark}";',
        f"router-id {peering.router_id};",
        f"local-address {peering.local};",
        f"local-as {peering.local_as};",
        f"peer-as {peering.peer_as};",
        f"connect {peering.port};",
        f"hold-time {peering.hold_seconds};",
        *_protection(peering),
        "adj-rib-in false;",
        "adj-rib-out true;",
        "group-updates true;",
        "manual-eor true;",
        *_capability(peering),
        "family {",
        *(f"    {family.value};" for family in Family if family in peering.families),
        "}",
        f"api {api_name(peering.peer)} {{",
        f"    processes [ {PROCESS} ];",
        "    neighbor-changes;",
        "    receive { parsed; open; update; notification; refresh; }",
        "}",
    ]
    body = "".join(f"    {line}\n" for line in lines)
    return f"neighbor {peering.peer} {{\n{body}}}\n"


def _protection(peering: Peering) -> list[str]:
    """MD5 (RFC 2385) and GTSM (RFC 5082): with GTSM we send TTL 255 and want 256 - hops or more."""
    lines = []
    if peering.password:
        lines += [f'md5-password "{peering.password}";', "md5-base64 false;"]
    if peering.ttl_security is not None:
        lines += ["outgoing-ttl 255;", f"incoming-ttl {256 - peering.ttl_security};"]
    return lines


def _capability(peering: Peering) -> list[str]:
    """Route refresh lets us ask for everything again after a restart of ours."""
    graceful = f"{peering.restart_seconds}" if peering.restart_seconds else "disable"
    return [
        "capability {",
        "    asn4 enable;",
        "    route-refresh enable;",
        f"    graceful-restart {graceful};",
        "    extended-message enable;",
        "}",
    ]
