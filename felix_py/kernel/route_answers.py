"""Pure: what routes in a dump, and the kernel's refusals, say about what stands there."""

from __future__ import annotations

import errno
from collections.abc import Iterable

from msgspec.structs import replace

from felix_py.kernel.errors import KernelRefused
from felix_py.kernel.model import PutRoute, Route, RouteChange, RouteKey, Scope, in_order

Failures = list[tuple[RouteChange, KernelRefused]]
"""What was refused, in order."""


def first_per_key(routes: Iterable[Route]) -> tuple[dict[RouteKey, Route], list[Route]]:
    """Per key the route that the kernel uses, and those that hide behind it (IPv4 only)."""
    first: dict[RouteKey, Route] = {}
    hidden: list[Route] = []
    for route in routes:
        if route.key in first:
            hidden.append(route)
        else:
            first[route.key] = route
    return first, hidden


def as_shown(route: Route) -> Route:
    """The route as the kernel will show it: sorted next hops, and no scope for IPv6."""
    if len(route.next_hops) > 1:
        route = replace(route, next_hops=in_order(route.next_hops))
    if route.scope is not Scope.UNIVERSE and route.key.prefix.version == 6:
        route = replace(route, scope=Scope.UNIVERSE)
    return route


def doubtful(change: RouteChange, error: KernelRefused) -> bool:
    """Whether the refusal means that the kernel holds something else than was seen.

    A creation that names a vanished interface or a bad gateway changes nothing: no need to look.
    """
    creates = isinstance(change, PutRoute) and not change.replaces_ours
    return not creates or error.errno in {errno.EEXIST, errno.ENOBUFS}
