"""Pure: the one route that felix should have at a prefix."""

from __future__ import annotations

from felix_py.agent.calc import block_routes, local_routes, remote_routes
from felix_py.agent.snapshot import Snapshot
from felix_py.datastore.model import IPNetwork
from felix_py.kernel.model import Route


def route_of(prefix: IPNetwork, snapshot: Snapshot) -> tuple[Route | None, bool]:
    """The route, and whether (when there is none) one of ours there waits for BGP's to replace it.

    A local pod's route comes before everything else; then the blackhole of an own block; then the way
    to the node that has the prefix.
    """
    local = local_routes.route_of(prefix, snapshot) or block_routes.route_of(prefix, snapshot)
    if local is not None:
        return local, False
    if prefix in snapshot.claims or prefix in snapshot.blocks:
        return None, False
    remote = remote_routes.remote_of(prefix, snapshot)
    return remote_routes.route_of(prefix, remote, snapshot), remote_routes.is_bgps(remote)
