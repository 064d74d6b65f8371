"""Pure: the /32 and /128 routes of local endpoints."""

from __future__ import annotations

from felix_py.agent.calc.conflicts import winner
from felix_py.agent.snapshot import Snapshot
from felix_py.datastore.model import IPNetwork
from felix_py.kernel.model import Route
from felix_py.kernel.pod_route import pod_route


def route_of(address: IPNetwork, snapshot: Snapshot) -> Route | None:
    """The route that an address claimed by local endpoints should have; None: none.

    None also while the link is down: the kernel refuses such a route (ENETDOWN), and the link's
    coming up is an event of its own.
    """
    claim = winner(snapshot.claims.get(address, {}).values(), snapshot.links)
    if claim is None:
        return None
    link = snapshot.links[claim.endpoint.interface_name]
    return pod_route(address.network_address, link.index) if link.up else None
