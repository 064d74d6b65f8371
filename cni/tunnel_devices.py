"""Which addresses this host's tunnel devices carry: none of them may be given to a pod."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cni.errors import TryAgain
from felix_py.datastore.model import IPAddress, NodeName
from felix_py.kernel.errors import KernelRefused
from felix_py.kernel.ownership import IPIP_LINK, VXLAN_LINKS
from felix_py.kernel.port import Kernel
from ipam.recovery_papers import Claim
from ipam.tunnels import TunnelKind, handle_of

LINKS = {
    TunnelKind.IPIP: IPIP_LINK,
    TunnelKind.VXLAN: VXLAN_LINKS[4],
    TunnelKind.VXLAN_V6: VXLAN_LINKS[6],
}


@dataclass(frozen=True, slots=True)
class TunnelDevices:
    """Called by the allocator's and the recovery's thread."""

    kernel: Kernel

    def claims(self, node: NodeName) -> list[Claim]:
        """What they carry, as a store that went back must not give it away. Raises TransientError."""
        return [
            Claim(handle_of(kind, node), "", "", tuple(sorted(carried, key=int)))
            for kind, carried in self().items()
            if carried
        ]

    def __call__(self) -> Mapping[TunnelKind, frozenset[IPAddress]]:
        """By kind; link-local addresses are not IPAM's. Raises TransientError: ask again."""
        try:
            indexes = {link.name: link.index for link in self.kernel.links()}
            addresses = self.kernel.addresses()
        except KernelRefused as refused:
            raise TryAgain(f"tunnel devices cannot be listed: {refused}") from refused
        return {
            kind: frozenset(
                each.interface.ip
                for each in addresses
                if each.ifindex == indexes.get(name)
                and each.interface.version == kind.version
                and not each.interface.is_link_local
            )
            for kind, name in LINKS.items()
        }
