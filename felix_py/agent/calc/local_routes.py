"""Pure: the /32 and /128 routes of local endpoints."""

from __future__ import annotations

from felix_py.agent.calc.conflicts import winner
from felix_py.agent.snapshot import Snapshot
from felix_py.datastore.model import IPNetwork
from felix_py.kernel.model import Route
from felix_py.kernel.pod_route import pod_route


def route_of(address: IPNetwork, snapshot: Snapshot) -> Route | None:
    """The route that an address claimed by local endpoints should have; None: none.

    Where no endpoint of a local link claims it, a pod that lives with it keeps its route.
    None also while the link is down: the kernel refuses such a route (ENETDOWN), and the link's
    coming up is an event of its own.
    """
    claim = winner(snapshot.claims.get(address, {}).values(), snapshot.links)
    survivor = snapshot.survivors.get(address)
    if claim is not None:
        name = claim.endpoint.interface_name
    elif survivor is not None:
        name = survivor.link
    else:
        return None
    link = snapshot.links.get(name)
    return pod_route(address.network_address, link.index) if link and link.up else None
