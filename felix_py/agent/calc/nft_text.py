"""Pure: how addresses and sets are spelled in nft's language."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Network, IPv6Network, collapse_addresses

from felix_py.datastore.model import IPNetwork

IP = {4: "ip", 6: "ip6"}
ADDRESS_TYPE = {4: "ipv4_addr", 6: "ipv6_addr"}
VERSIONS = (4, 6)

NamedSets = Mapping[str, tuple[str, frozenset[str]]]
"""Sets by name: the declaration, and the elements as nft spells them."""

_LINK_NAME = re.compile(r"[A-Za-z0-9_.:@-]{1,15}")


def is_plain(name: str) -> bool:
    """Whether a link's name can stand in a script as it is: no quotes, no wildcard."""
    return _LINK_NAME.fullmatch(name) is not None


def ranges(networks: Iterable[IPNetwork], version: int) -> frozenset[str]:
    """The networks of one version as elements of an interval set, which refuses what overlaps."""
    if version == 4:
        four = [each for each in networks if isinstance(each, IPv4Network)]
        return frozenset(_short(each) for each in collapse_addresses(four))
    six = [each for each in networks if isinstance(each, IPv6Network)]
    return frozenset(_short(each) for each in collapse_addresses(six))


def set_of(name: str, kind: str, *, interval: bool = False) -> str:
    """The declaration of a set without elements."""
    flags = " flags interval;" if interval else ""
    return f"  set {name} {{ {kind};{flags} }}"


def chain(name: str, *rules: str) -> str:
    """A chain of these lines; empty ones are left out."""
    return "\n".join([f"  chain {name} {{", *(f"    {rule}" for rule in rules if rule), "  }"])


def _short(network: IPNetwork) -> str:
    single = network.prefixlen == network.max_prefixlen
    return str(network.network_address) if single else str(network)
