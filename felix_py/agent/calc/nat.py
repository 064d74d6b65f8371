"""Pure: whose packets to the world get the node's address (natOutgoing), as nftables' rules.

Calico v3.32 `felix/rules/nat.go`: from a pool with natOutgoing to what is in no pool, disabled pools
included on both sides. The sets hold pools; no rule names a pod.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from ipaddress import ip_address

from felix_py.agent.calc.nft_text import (
    ADDRESS_TYPE,
    IP,
    VERSIONS,
    NamedSets,
    chain,
    is_plain,
    ranges,
    set_of,
)
from felix_py.datastore.felix_configuration import FelixConfiguration
from felix_py.datastore.model import IPNetwork, IPPool

PRIORITY = "srcnat"
WITH_PORTS = "meta l4proto { tcp, udp }"
"""Those whose source port a range may choose."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """Who is translated (`sources`), unless he goes where nobody is (`inside`)."""

    sources: tuple[IPNetwork, ...] = ()
    inside: tuple[IPNetwork, ...] = ()

    def versions(self) -> tuple[int, ...]:
        """The IP versions that have anything to translate."""
        return tuple(v for v in VERSIONS if any(each.version == v for each in self.sources))

    def due(self, version: int, hosts: Iterable[str]) -> Callable[[bytes, bytes], bool]:
        """Whether packets from one packed address to another are translated, as a function.

        hosts: addresses as text to which nothing is: those that are spared, and the node's own.
        """
        sources = [_range(each) for each in self.sources if each.version == version]
        inside = [_range(each) for each in self.inside if each.version == version]
        passed_over = {ip_address(host).packed for host in hosts}

        def asked(source: bytes, destination: bytes) -> bool:
            return (
                destination not in passed_over
                and any(low <= source <= high for low, high in sources)
                and not any(low <= destination <= high for low, high in inside)
            )

        return asked


def _range(network: IPNetwork) -> tuple[bytes, bytes]:
    return network.network_address.packed, network.broadcast_address.packed


def outgoing(pools: Iterable[IPPool]) -> Outgoing:
    """What the pools ask for."""
    all_pools = sorted(pools, key=lambda pool: pool.name)
    return Outgoing(
        tuple(pool.cidr for pool in all_pools if pool.nat_outgoing),
        tuple(pool.cidr for pool in all_pools),
    )


def sets(out: Outgoing) -> NamedSets:
    """Each set's declaration and elements, by name."""
    found: dict[str, tuple[str, frozenset[str]]] = {}
    for version in VERSIONS:
        kind = f"type {ADDRESS_TYPE[version]}"
        for name, networks in (("nat-pools", out.sources), ("all-pools", out.inside)):
            full = f"{name}{version}"
            found[full] = set_of(full, kind, interval=True), ranges(networks, version)
    return found


def chains(out: Outgoing, configuration: FelixConfiguration) -> str:
    """The chain at the way out. None at all where nothing is translated: a chain of this type has
    every packet of the host looked up in the connection table."""
    versions = out.versions()
    if not versions:
        return ""
    rules = [rule for version in versions for rule in _rules(version, configuration)]
    base = f"type nat hook postrouting priority {PRIORITY}; policy accept;"
    return chain("postrouting", base, *rules)


def _rules(version: int, configuration: FelixConfiguration) -> Iterator[str]:
    ip = IP[version]
    words = [f"{ip} saddr @nat-pools{version}", f"{ip} daddr != @all-pools{version}"]
    if configuration.nat_outgoing_spares_hosts:
        words.append(f"{ip} daddr != @nodes{version}")
    interfaces = _interfaces(configuration.nat_outgoing_interfaces)
    if interfaces:
        words.append(f'oifname "{interfaces}"')
    which = " ".join(words)
    address = configuration.nat_outgoing_address
    fixed = address if address is not None and address.version == version else None
    if configuration.nat_port_range is not None:
        low, high = configuration.nat_port_range
        yield f"{which} {WITH_PORTS} {_verdict(ip, fixed, f':{low}-{high}')}"
    yield f"{which} {_verdict(ip, fixed, '')}"


def _verdict(ip: str, address: object, ports: str) -> str:
    """fully-random: two nodes' pods that choose one port at once do not meet in a race for it."""
    if address is None:
        return f"masquerade {f'to {ports} ' if ports else ''}fully-random"
    text = f"[{address}]" if ports and ip == "ip6" else address
    return f"snat {ip} to {text}{ports} fully-random"


def _interfaces(pattern: str | None) -> str:
    """iptables' `eth+` as nft's `eth*`; nothing for what is no name."""
    if not pattern:
        return ""
    name = pattern.removesuffix("+")
    if not is_plain(name):
        return ""
    return f"{name}*" if pattern.endswith("+") else name
