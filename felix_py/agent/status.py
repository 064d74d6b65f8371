"""Pure: what felix says of itself, as a JSON object."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from felix_py.agent.calc.conflicts import disputed
from felix_py.agent.calc.node_object import AddressWish
from felix_py.agent.snapshot import Snapshot
from felix_py.agent.survivors import Survivor
from felix_py.datastore.changes import StoreState
from felix_py.datastore.status_document import MAX_NAMED, Identity, head
from felix_py.kernel.errors import KernelRefused
from felix_py.kernel.model import Route, RouteKey
from felix_py.kernel.ownership import LINK_PREFIX

DAEMON = "felix"


@dataclass(frozen=True, slots=True)
class KernelReport:
    """How the kernel drivers stand."""

    wanted: int = 0
    installed: int = 0
    failed_routes: Mapping[RouteKey, KernelRefused] = field(default_factory=dict)
    foreign: Mapping[RouteKey, Route] = field(default_factory=dict)
    guests: Iterable[RouteKey] = ()
    handed: Iterable[RouteKey] = ()
    failed_links: Mapping[str, KernelRefused] = field(default_factory=dict)
    failed_host: str | None = None
    host_name_now: str | None = None
    """The host's present name when it is not the node's any more."""


def document(
    identity: Identity,
    store: StoreState,
    snapshot: Snapshot,
    kernel: KernelReport,
    node: Mapping[int, AddressWish],
) -> dict[str, object]:
    """Everything but invalid objects and warnings of the Node, which the loop adds."""
    return {
        **head(identity, store),
        "endpoints": sum(len(claims) for claims in snapshot.interfaces.values()),
        "blocks": sorted(str(cidr) for cidr in snapshot.blocks),
        "routes": {
            "wanted": kernel.wanted,
            "installed": kernel.installed,
            "unexplained": sorted(str(key.prefix) for key in kernel.guests)[:MAX_NAMED],
            "waitingForBgp": sorted(str(key.prefix) for key in kernel.handed)[:MAX_NAMED],
            "failed": _failed_routes(kernel),
            "foreign": _foreign_routes(kernel),
        },
        "links": {
            "failed": [
                {"link": name, "reason": str(refused)}
                for name, refused in sorted(kernel.failed_links.items())[:MAX_NAMED]
            ]
        },
        "nodeAddress": {f"ipv{version}": _address(wish) for version, wish in sorted(node.items())},
    }


def unregistered(survivors: Iterable[Survivor]) -> list[dict[str, object]]:
    """Pods that live here and that etcd does not know; their routes are kept."""
    found: list[dict[str, object]] = [
        {"pod": each.title, "link": each.link, "addresses": [str(net) for net in each.networks]}
        for each in survivors
    ]
    return found[:MAX_NAMED]


def warnings(snapshot: Snapshot, kernel: KernelReport, of_node: Iterable[str]) -> list[str]:
    """What people should look at, one sentence each."""
    found = list(of_node)
    if kernel.host_name_now is not None:
        found.append(f"the host is now called {kernel.host_name_now}, the node stays {snapshot.me}")
    if kernel.failed_host is not None:
        found.append(f"the host's forwarding cannot be set: {kernel.failed_host}")
    found += [
        f"{prefix} is claimed by {', '.join(keys)}; the newest on a link of its own wins, delete the other"
        for prefix, keys in sorted(disputed(snapshot).items(), key=lambda item: str(item[0]))
    ]
    found += [
        f"endpoint {key.path} names the interface {name!r}, which does not begin with {LINK_PREFIX}; "
        "it gets no route"
        for name, claims in sorted(snapshot.interfaces.items())
        if not name.startswith(LINK_PREFIX)
        for key in sorted(claims, key=lambda key: key.path)
    ]
    return found[:MAX_NAMED]


def _failed_routes(kernel: KernelReport) -> list[dict[str, str]]:
    return [
        {"prefix": str(key.prefix), "reason": str(refused)}
        for key, refused in sorted(kernel.failed_routes.items(), key=lambda item: str(item[0]))
    ][:MAX_NAMED]


def _foreign_routes(kernel: KernelReport) -> list[dict[str, object]]:
    return [
        {
            "prefix": str(key.prefix),
            "metric": key.metric,
            "protocol": route.protocol,
            "do": "remove it or give it another metric; felix never overwrites another's route",
        }
        for key, route in sorted(kernel.foreign.items(), key=lambda item: str(item[0]))
    ][:MAX_NAMED]


def _address(wish: AddressWish) -> dict[str, object]:
    found = wish.detection
    return {
        "address": None if found.interface is None else str(found.interface),
        "method": wish.method,
        "found": found.how,
    }
