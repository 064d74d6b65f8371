"""Pure: what a pod may send, as nftables' rules and sets: from its own addresses, and no tunnels.

Independent of rp_filter, which IPv6 has not got. A packet must come from an address that the endpoint
on its very link holds. In the moment after a pod was made we have not heard of it yet: a source in a
pool, whose route leads back through that link, passes too; that route is the CNI server's and names
the pod's own addresses alone.

ARP and neighbour advertisements are answers about who has an address: one for an address that is not
the pod's own goes. (They could not reach another pod: each link is a network of its own. But entries
on the host's side are one table for all, and pods could fill it.)
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from felix_py.agent.calc.conflicts import owns_link, winner
from felix_py.agent.calc.nft_text import (
    ADDRESS_TYPE,
    VERSIONS,
    NamedSets,
    chain,
    is_plain,
    ranges,
    set_of,
)
from felix_py.agent.snapshot import Claim, Snapshot
from felix_py.datastore.felix_configuration import DEFAULT_VXLAN_PORT, FelixConfiguration
from felix_py.datastore.model import IPNetwork
from felix_py.kernel.ownership import LINK_PREFIX

GATEWAY6 = "fe80::ecee:eeff:feee:eeee"
"""The host side's link-local address on every pod's link."""
TARGET = "@th,64,128"
"""The target of a neighbour advertisement: 16 bytes behind the first 8 of ICMPv6 (RFC 4861 4.4)."""
GATEWAY_TARGET = "0xfe80000000000000eceeeefffeeeeeee"
LINK_LOCAL_TARGET = "@th,64,10 0x3fa"
"""fe80::/10 by its first ten bits."""
UNSPECIFIED_MAY = (
    "{ nd-neighbor-solicit, nd-router-solicit, mld-listener-report, mld2-listener-report }"
)
"""What a link says before it has an address (RFC 4862 5.4, RFC 3590)."""
FROM_PODS = f'iifname "{LINK_PREFIX}*"'


@dataclass(frozen=True, slots=True)
class Sources:
    """What one pod's link may send from. `prefixes`: beside its own addresses."""

    addresses: tuple[IPNetwork, ...] = ()
    prefixes: tuple[IPNetwork, ...] = ()


@dataclass(frozen=True, slots=True)
class LinkElements:
    """One link's elements in the sets, as nft spells them; kept, because spelling takes longer than
    putting together."""

    name: str
    sources: Mapping[int, tuple[str, ...]]
    prefixes: Mapping[int, tuple[str, ...]]
    targets: tuple[str, ...]


def sources_of(interface: str, snapshot: Snapshot) -> Sources | None:
    """Own addresses as the routes have them, and what FelixConfiguration lets endpoints add; None:
    there is no such link, or nobody lives on it."""
    link = snapshot.links.get(interface)
    if link is None or not interface.startswith(LINK_PREFIX) or not is_plain(interface):
        return None
    claims = [
        claim
        for claim in snapshot.interfaces.get(interface, {}).values()
        if owns_link(claim.endpoint, link)
    ]
    own = {
        net for claim in claims for net in claim.endpoint.networks if _wins(claim, net, snapshot)
    }
    own |= {
        net
        for net, survivor in snapshot.survivors.items()
        if survivor.link == interface and winner(_claims(net, snapshot), snapshot.links) is None
    }
    if not claims and not own:
        return None
    spoofable: set[IPNetwork] = set()
    if snapshot.configuration.any_source_spoofing:
        spoofable = {net for claim in claims for net in claim.endpoint.spoofable}
    return Sources(tuple(sorted(own, key=str)), tuple(sorted(spoofable, key=str)))


def _wins(claim: Claim, address: IPNetwork, snapshot: Snapshot) -> bool:
    return winner(_claims(address, snapshot), snapshot.links) == claim


def _claims(address: IPNetwork, snapshot: Snapshot) -> Iterable[Claim]:
    return snapshot.claims.get(address, {}).values()


def elements_of(name: str, sources: Sources) -> LinkElements:
    """The link's elements."""
    own, wide = sources.addresses, sources.prefixes
    return LinkElements(
        f'"{name}"',
        {
            version: tuple(
                f'"{name}" . {net.network_address}' for net in own if net.version == version
            )
            for version in VERSIONS
        },
        {
            version: tuple(f'"{name}" . {text}' for text in sorted(ranges(wide, version)))
            for version in VERSIONS
        },
        tuple(f'"{name}" . 0x{int(net.network_address):032x}' for net in own if net.version == 6),
    )


def sets(links: Collection[LinkElements]) -> NamedSets:
    """The inet table's sets."""
    found = {"pod-links": _links(links)}
    for version in VERSIONS:
        kind = f"type ifname . {ADDRESS_TYPE[version]}"
        own, wide = f"pod-sources{version}", f"pod-prefixes{version}"
        found[own] = set_of(own, kind), frozenset(e for one in links for e in one.sources[version])
        prefixes = frozenset(e for one in links for e in one.prefixes[version])
        found[wide] = set_of(wide, kind, interval=True), prefixes
    targets = frozenset(e for one in links for e in one.targets)
    found["pod-targets6"] = set_of("pod-targets6", f"typeof iifname . {TARGET}"), targets
    return found


def arp_sets(links: Collection[LinkElements]) -> NamedSets:
    """The arp table's own sets: tables share none."""
    sources = frozenset(e for one in links for e in one.sources[4])
    kind = "type ifname . ipv4_addr"
    return {"pod-links": _links(links), "pod-sources": (set_of("pod-sources", kind), sources)}


def _links(links: Collection[LinkElements]) -> tuple[str, frozenset[str]]:
    return set_of("pod-links", "type ifname"), frozenset(one.name for one in links)


def chains(configuration: FelixConfiguration) -> str:
    """At the very first hook, before connections are tracked and before any NAT: a forged packet that
    was given its node's address would look honest everywhere else."""
    ipip, vxlan = configuration.allow_ipip_from_workloads, configuration.allow_vxlan_from_workloads
    port = configuration.vxlan_port or DEFAULT_VXLAN_PORT
    base = "type filter hook prerouting priority raw; policy accept;"
    return "\n".join(
        [
            chain("prerouting", base, f"{FROM_PODS} jump from-pods"),
            chain(
                "from-pods",
                "" if ipip else "meta l4proto ipencap counter drop",
                "" if vxlan else f"udp dport {port} counter drop",
                "meta nfproto ipv4 goto from-pods4",
                "meta nfproto ipv6 goto from-pods6",
            ),
            _chain4(),
            _chain6(),
            chain(
                "advertised",
                f"iifname . {TARGET} @pod-targets6 return",
                f"{TARGET} {GATEWAY_TARGET} counter drop",
                f"{LINK_LOCAL_TARGET} return",
                "iifname != @pod-links return",
                "counter drop",
            ),
        ]
    )


def arp_chains() -> str:
    """Senders of ARP, requests and answers alike: both teach the host. 0.0.0.0 asks and tells nothing
    (RFC 5227). A link we have not heard of yet may speak."""
    base = "type filter hook input priority filter; policy accept;"
    return "\n".join(
        [
            chain("input", base, f"{FROM_PODS} jump from-pods"),
            chain(
                "from-pods",
                "iifname . arp saddr ip @pod-sources accept",
                "arp saddr ip 0.0.0.0 accept",
                "iifname != @pod-links accept",
                "counter drop",
            ),
        ]
    )


def _chain4() -> str:
    """The loopback net goes by the packet's own words; what NAT leads there from another address (a
    service on the host's loopback) had that other address when it came by here."""
    return chain(
        "from-pods4",
        "ip saddr 127.0.0.0/8 counter drop",
        "ip daddr 127.0.0.0/8 counter drop",
        "iifname . ip saddr @pod-sources4 accept",
        "iifname . ip saddr @pod-prefixes4 accept",
        "ip saddr @all-pools4 fib saddr . iif oif exists accept",
        "counter drop",
    )


def _chain6() -> str:
    return chain(
        "from-pods6",
        "ip6 saddr ::1 counter drop",
        "ip6 daddr ::1 counter drop",
        "icmpv6 type { nd-router-advert, nd-redirect } counter drop",
        "icmpv6 type nd-neighbor-advert jump advertised",
        "iifname . ip6 saddr @pod-sources6 accept",
        "iifname . ip6 saddr @pod-prefixes6 accept",
        f"ip6 saddr {GATEWAY6} counter drop",
        "ip6 saddr fe80::/10 meta l4proto ipv6-icmp accept",
        f"ip6 saddr :: icmpv6 type {UNSPECIFIED_MAY} accept",
        "ip6 saddr @all-pools6 fib saddr . iif oif exists accept",
        "counter drop",
    )
