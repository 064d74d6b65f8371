"""Which pool a block or an address belongs to."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_network

from felix_py.datastore.model import IPAddress, IPNetwork, IPPool


def pool_for(what: IPNetwork | IPAddress, pools: Iterable[IPPool]) -> IPPool | None:
    """The pool that holds all of it, None when there is none.

    A disabled pool still counts: its addresses stay routable. Calico refuses overlapping pools; if
    there are some all the same, the longest prefix wins, then the name that sorts first.
    """
    wanted = ip_network(what)
    holding = [pool for pool in pools if _holds(pool.cidr, wanted)]
    return min(holding, key=lambda pool: (-pool.cidr.prefixlen, pool.name), default=None)


def _holds(pool: IPNetwork, wanted: IPNetwork) -> bool:
    return (
        pool.version == wanted.version
        and pool.network_address <= wanted.network_address  # type: ignore[operator]
        and pool.broadcast_address >= wanted.broadcast_address  # type: ignore[operator]
    )
