"""`felixctl ipam assign`: an address for a Service of type LoadBalancer, as Calico's controllers take it.

For scripts and for load balancers of one's own; who announces the address is another matter.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from felix_py.ctl.connection import Session
from felix_py.ctl.errors import CommandError
from felix_py.ctl.ipam import parsed_address
from ipam.load_balancer import ServiceAddresses, ServiceAsk
from ipam.service import Service

FAMILIES = {"4": (4,), "6": (6,), "46": (4, 6)}


def assign(
    session: Session,
    service: str,
    uid: str,
    family: str,
    pools: Sequence[str],
    addresses: Sequence[str],
) -> Iterator[str]:
    """A line for each address that the Service holds then. Raises CommandError, what IPAM refuses."""
    namespace, slash, name = service.partition("/")
    if not (namespace and slash and name) or "/" in name:
        raise CommandError(f"--service {service!r} is not NAMESPACE/NAME")
    if family not in FAMILIES:
        raise CommandError(f"--family {family!r}: say 4, 6 or 46")
    wanted = tuple(map(parsed_address, addresses))
    owner = Service(namespace, name, uid)
    ask = ServiceAsk(owner, FAMILIES[family], tuple(pools), wanted)
    with session.store() as store:
        lease = ServiceAddresses(store, lambda: datetime.now(UTC)).assign(ask)
    for leased in lease.addresses:
        yield f"{leased.address} for service {service}, handle {lease.handle_id}"
