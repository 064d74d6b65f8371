"""Pure: packets to floating addresses led to the pods that have them, as nftables' rules and maps.

Calico v3.32.1 `felix/dataplane/linux/floating_ip_mgr.go`, `felix/rules/nat.go`: translated on the node
where the pod lives, before routing; a pod that asks itself by such an address hears it as the sender,
or it would drop what seems to come from itself. Of two pods with one address the newer one has it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from felix_py.agent.calc.conflicts import winner
from felix_py.agent.calc.nft_text import ADDRESS_TYPE, IP, VERSIONS, NamedSets, chain
from felix_py.agent.snapshot import Claim, Snapshot
from felix_py.datastore.model import IPAddress
from felix_py.kernel.pod_route import host_prefix


@dataclass(frozen=True, slots=True)
class FloatingAddresses:
    """led: floating address and the address of the pod here that has it.

    enabled: FelixConfiguration floatingIPs; without it there are neither rules nor addresses.
    """

    enabled: bool = False
    led: tuple[tuple[IPAddress, IPAddress], ...] = ()


def floating(snapshot: Snapshot) -> FloatingAddresses:
    """What is led where on this node."""
    if not snapshot.configuration.floating_ips:
        return FloatingAddresses()
    led: dict[IPAddress, IPAddress] = {}
    newest_first = sorted(
        _claims(snapshot), key=lambda one: (one.create_revision, one.key.path), reverse=True
    )
    for claim in newest_first:
        for each in claim.endpoint.floating:
            rivals = snapshot.claims.get(host_prefix(each.internal), {}).values()
            if winner(rivals, snapshot.links) == claim:
                led.setdefault(each.external, each.internal)
    return FloatingAddresses(enabled=True, led=tuple(led.items()))


def _claims(snapshot: Snapshot) -> Iterable[Claim]:
    for claims in snapshot.interfaces.values():
        for claim in claims.values():
            if claim.endpoint.floating:
                yield claim


def sets(what: FloatingAddresses) -> NamedSets:
    """The maps, whose elements are spelled `key : value`."""
    found: dict[str, tuple[str, frozenset[str]]] = {}
    if not what.enabled:
        return found
    for version in VERSIONS:
        kind = ADDRESS_TYPE[version]
        pairs = [(out, home) for out, home in what.led if out.version == version]
        there, back = f"floating{version}", f"floating-self{version}"
        found[there] = (
            f"  map {there} {{ type {kind} : {kind}; }}",
            frozenset(f"{out} : {home}" for out, home in pairs),
        )
        of_home = {home: out for out, home in reversed(pairs)}
        found[back] = (
            f"  map {back} {{ type {kind} . {kind} : {kind}; }}",
            frozenset(f"{home} . {home} : {out}" for home, out in of_home.items()),
        )
    return found


def chains(what: FloatingAddresses) -> str:
    """The chains; kept while no pod has such an address, so that one that comes is an element alone."""
    if not what.enabled:
        return ""
    there = [f"dnat {ip} to {ip} daddr map @floating{version}" for version, ip in IP.items()]
    back = [
        f"snat {ip} to {ip} saddr . {ip} daddr map @floating-self{version}"
        for version, ip in IP.items()
    ]
    return "\n".join(
        [
            chain("floating-in", _base("prerouting", "dstnat"), *there),
            chain("floating-local", _base("output", "-100"), *there),
            chain("floating-self", _base("postrouting", "srcnat - 1"), *back),
        ]
    )


def _base(hook: str, priority: str) -> str:
    return f"type nat hook {hook} priority {priority}; policy accept;"
