"""Pure: packet rates, connections and DSCP of pods' endpoints as an nftables table of their own.

A pod without such controls costs its packets one look into a map. Packets that the host itself sends
to a pod (probes) are not counted. As Calico v3.32.1 `felix/rules/endpoints.go`, `static.go`: TCP
connections are counted when they begin; DSCP is written on what leaves for where no pool is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import IPv4Network, IPv6Network, collapse_addresses

from felix_py.datastore.model import IPNetwork
from felix_py.datastore.qos import Direction, QosControls
from felix_py.kernel.nft_pieces import Pieces, digest
from felix_py.kernel.ownership import QOS_TABLE

BODY = """
set pools4 { type ipv4_addr; flags interval; }
set pools6 { type ipv6_addr; flags interval; }
map from { type ifname : verdict; }
map to { type ifname : verdict; }
map dscp { type ifname : verdict; }
chain marking {
  ip daddr @pools4 return
  ip6 daddr @pools6 return
  iifname vmap @dscp
}
chain forwarded {
  type filter hook forward priority mangle; policy accept;
  iifname vmap @from
  oifname vmap @to
  jump marking
}
chain delivered {
  type filter hook input priority mangle; policy accept;
  iifname vmap @from
}
"""
"""Behind connection tracking, before anybody's filters. The chains of a map begin with its name."""
FIXED = {"marking": 3, "forwarded": 3, "delivered": 1}
"""How many rules the body's chains have."""


def pieces_of(controls: Mapping[str, QosControls], pools: Iterable[IPNetwork]) -> Pieces | None:
    """The table for these controls, by pod's link; None: nobody needs it."""
    chains: dict[str, tuple[str, ...]] = {}
    maps: dict[str, dict[str, str]] = {"from": {}, "to": {}, "dscp": {}}
    for link, wanted in controls.items():
        for way, direction in (("from", wanted.egress), ("to", wanted.ingress)):
            rules = _rules(direction)
            if rules:
                name = f"{way}_{digest(link, *rules)}"
                chains[name] = rules
                maps[way][link] = name
        if wanted.dscp is not None:
            name = f"dscp_{wanted.dscp}"
            chains[name] = (f"ip dscp set {wanted.dscp}", f"ip6 dscp set {wanted.dscp}")
            maps["dscp"][link] = name
    if not chains:
        return None
    sets = _pool_sets(pools) if maps["dscp"] else {"pools4": frozenset(), "pools6": frozenset()}
    return Pieces(QOS_TABLE, BODY, FIXED, chains, maps, sets)


def _rules(direction: Direction) -> tuple[str, ...]:
    rules: list[str] = []
    if direction.packets is not None:
        rate, burst = direction.packets.rate, direction.packets.burst
        rules.append(f"limit rate over {rate}/second burst {burst} packets drop")
    if direction.max_connections is not None:
        rules.append(
            "ct state new meta l4proto tcp"
            f" ct count over {direction.max_connections} reject with tcp reset"
        )
    return tuple(rules)


def _pool_sets(pools: Iterable[IPNetwork]) -> dict[str, frozenset[str]]:
    """As elements of interval sets, which refuse what overlaps."""
    known = tuple(pools)
    four = collapse_addresses(pool for pool in known if isinstance(pool, IPv4Network))
    six = collapse_addresses(pool for pool in known if isinstance(pool, IPv6Network))
    return {
        "pools4": frozenset(map(_element, four)),
        "pools6": frozenset(map(_element, six)),
    }


def _element(pool: IPNetwork) -> str:
    single = pool.prefixlen == pool.max_prefixlen
    return str(pool.network_address) if single else str(pool)
