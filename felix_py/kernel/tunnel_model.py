"""Frozen values of tunnels: what a device should be, how it stands, and why one cannot stand."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

import msgspec

from felix_py.kernel.errors import KernelRefused
from felix_py.kernel.model import IPAddress, Link
from felix_py.kernel.neighbour_dump import ForwardingEntry, NeighbourEntry
from felix_py.kernel.tunnel_dump import TunnelDetail


@dataclass(frozen=True, slots=True)
class VxlanShape:
    """What cannot be changed on a device that stands: it is made anew when one of these differs.

    `local` is the node's own address, `parent` the index of the link that it stands on.
    """

    vni: int
    port: int
    local: IPAddress
    parent: int
    learning: bool = False


class Vtep(msgspec.Struct, frozen=True, gc=False):
    """A remote end of VXLAN: its MAC inside, and its node's address outside."""

    mac: str
    node_address: IPAddress


@dataclass(frozen=True, slots=True)
class TunnelWish:
    """A device as it should stand. `remotes` (VXLAN only): by the far tunnel address.

    `address` is the only one of its family on the device; None: what stands there, stays.
    """

    name: str
    link_kind: str
    mtu: int
    address: IPAddress | None = None
    mac: str = ""
    shape: VxlanShape | None = None
    remotes: Mapping[IPAddress, Vtep] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TunnelLink:
    """A device as the kernel shows it."""

    link: Link
    detail: TunnelDetail

    @property
    def shape(self) -> VxlanShape | None:
        """The shape of a VXLAN device that names its local address; else None."""
        seen = self.detail
        if self.link.kind != "vxlan" or seen.local is None or seen.vni is None:
            return None
        return VxlanShape(seen.vni, seen.port or 0, seen.local, seen.parent, bool(seen.learning))


class FaultReason(Enum):
    """Why a tunnel cannot stand, as status and metrics spell it."""

    NO_KERNEL_SUPPORT = "NoKernelSupport"
    FOREIGN_DEVICE = "ForeignDevice"
    REFUSED = "KernelRefused"


@dataclass(frozen=True, slots=True)
class TunnelFault:
    """What is wrong with a device, and what a person can do about it."""

    reason: FaultReason
    message: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Standing:
    """How a device stands: `up` with its `address` is what a node may publish."""

    present: bool = False
    up: bool = False
    address: IPAddress | None = None
    fault: TunnelFault | None = None


@dataclass(frozen=True, slots=True)
class EntryEvent:
    """The kernel has told of a forwarding entry or a neighbour: it is there now, or is gone."""

    entry: ForwardingEntry | NeighbourEntry
    gone: bool


@dataclass(frozen=True, slots=True)
class PutForwarding:
    """Packets for this MAC go to that node, and to no other."""

    mac: str
    node_address: IPAddress


@dataclass(frozen=True, slots=True)
class DropForwarding:
    """Forget that this MAC is at that node."""

    mac: str
    node_address: IPAddress


@dataclass(frozen=True, slots=True)
class PutNeighbour:
    """This address has this MAC, for good."""

    address: IPAddress
    mac: str


@dataclass(frozen=True, slots=True)
class DropNeighbour:
    """Forget a neighbour."""

    address: IPAddress


EntryChange = PutForwarding | DropForwarding | PutNeighbour | DropNeighbour


def fault_of(wish: TunnelWish, refused: KernelRefused) -> TunnelFault:
    """What a refusal means, in words that a person can act on."""
    if refused.errno == errno.EOPNOTSUPP and refused.doing.startswith("create"):
        return TunnelFault(
            FaultReason.NO_KERNEL_SUPPORT,
            f"this kernel has no {wish.link_kind}: {refused}",
            f"load the kernel module {wish.link_kind} (modprobe {wish.link_kind})"
            + (", or use vxlanMode" if wish.link_kind == "ipip" else ""),
        )
    if refused.errno in {errno.EEXIST, errno.EADDRINUSE} and wish.shape is not None:
        return TunnelFault(
            FaultReason.REFUSED,
            f"UDP port {wish.shape.port} with VNI {wish.shape.vni} is taken on this host: {refused}",
            "set another vxlanPort or vxlanVNI in FelixConfiguration, the same for all nodes",
        )
    remedy = f"see what `ip -d link show {wish.name}` says; it is tried again"
    return TunnelFault(FaultReason.REFUSED, str(refused), remedy)


def foreign(wish: TunnelWish, present: Link) -> TunnelFault:
    """A device of our name that is of another kind: it is nobody's to destroy."""
    return TunnelFault(
        FaultReason.FOREIGN_DEVICE,
        f"{wish.name} is here already, as a link of kind {present.kind or 'unknown'}",
        f"remove or rename it; {wish.name} must be of kind {wish.link_kind}",
    )
