"""What IPAM is asked and what it answers: frozen values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from felix_py.datastore.keys import ResourceKey
from felix_py.datastore.model import HandleId, IPAddress, IPNetwork, NodeName, PoolUse
from felix_py.datastore.store import KeyValue

RenderEndpoint = Callable[[tuple[IPAddress, ...], KeyValue | None], bytes]
"""(the addresses given, the endpoint as stored now) -> the endpoint's new value."""


def timestamp(at: datetime) -> str:
    """The attribute of that name, in Go's text form as Calico writes it. at: UTC."""
    return f"{at:%Y-%m-%d %H:%M:%S.%f} +0000 UTC"


@dataclass(frozen=True, slots=True)
class EndpointDraft:
    """The workload endpoint to write in the very transaction that assigns its addresses."""

    key: ResourceKey
    render: RenderEndpoint


@dataclass(frozen=True, slots=True)
class AssignRequest:
    """One owner's wish for addresses of each family, or for the addresses it names.

    count: how many per family, all or none; a pod's interface needs one.
    pools: names or CIDRs; when given, selectors and assignmentMode are not looked at.
    family_pools: the same for one family, in place of `pools`.
    addresses: specific ones, at most one per family; then `families` and `pools` are not looked at.
    """

    handle_id: HandleId
    attributes: Mapping[str, str]
    families: tuple[int, ...] = (4,)
    pools: tuple[str, ...] = ()
    family_pools: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    addresses: tuple[IPAddress, ...] = ()
    use: PoolUse = PoolUse.WORKLOAD
    namespace_labels: Mapping[str, str] = field(default_factory=dict)
    endpoint: EndpointDraft | None = None
    count: int = 1
    lives: bool = False
    """The addresses are in use by this handle already: a disabled pool has a place for them, too."""
    outside: bool = False
    """The addresses are nobody's here: in no pool, held by no block. Only the endpoint is written."""


@dataclass(frozen=True, slots=True)
class LeasedAddress:
    """An address with the block it lies in and that block's affinity."""

    address: IPAddress
    block: IPNetwork
    borrowed_from: NodeName | None = None


@dataclass(frozen=True, slots=True)
class Lease:
    """What a handle holds after an assignment. `fresh` is False when it held it before."""

    handle_id: HandleId
    addresses: tuple[LeasedAddress, ...]
    revision: int
    fresh: bool = True


@dataclass(frozen=True, slots=True)
class ReleaseRequest:
    """Give back all that a handle holds, and the endpoint if this container still owns it.

    An endpoint whose containerID is another one belongs to a newer container and stays.
    """

    handle_id: HandleId
    container_id: str = ""
    endpoint_key: ResourceKey | None = None


@dataclass(frozen=True, slots=True)
class Released:
    """What was given back; empty: the handle held nothing, which is success."""

    handle_id: HandleId
    addresses: tuple[IPAddress, ...]
    endpoint_deleted: bool
