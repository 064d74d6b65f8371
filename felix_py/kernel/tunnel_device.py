"""Driver: one tunnel device with its address, its settings and, for VXLAN, its far ends."""

from __future__ import annotations

import errno

import structlog

from felix_py.kernel.errors import KernelRefused
from felix_py.kernel.model import Address, LinkSettings, Scope
from felix_py.kernel.ownership import TUNNEL_ALIAS
from felix_py.kernel.port import TunnelLinks
from felix_py.kernel.tunnel_model import (
    EntryEvent,
    Standing,
    TunnelLink,
    TunnelWish,
    fault_of,
    foreign,
)
from felix_py.kernel.tunnel_peers import TunnelPeers

log = structlog.get_logger(__name__)

SETTINGS = LinkSettings(forwarding4=True, rp_filter=2)
"""Loose: while a pair's traffic moves between underlay and tunnel, a strict check drops all of it."""


class TunnelDevice:
    """Keeps one device as wished. A fresh process knows it by its name, its kind and its alias.

    Things that this class is shaped by:
    - tunl0 is the kernel's own: it is there, in every namespace, once the module is, it cannot be
      deleted, and asking for it is what loads the module (then the creation is answered EEXIST);
    - a device of our name and kind is taken over: Calico's, whose names these are, or an earlier
      process's. One of another kind is reported and left alone;
    - VNI, port, local address and parent cannot be changed while it stands;
    - a VXLAN device goes when its parent goes.
    """

    def __init__(self, name: str, version: int, links: TunnelLinks) -> None:
        self.name = name
        self._version = version
        self._links = links
        self._wish: TunnelWish | None = None
        self._peers = TunnelPeers(links)
        self.index: int | None = None
        """As last seen; None: there is no such device."""

    @property
    def wish(self) -> TunnelWish | None:
        """What was wanted last."""
        return self._wish

    def want(self, wish: TunnelWish | None) -> None:
        """Have it stand like this; None: not at all."""
        self._wish = wish
        self._peers.want({} if wish is None else wish.remotes)

    def note(self, event: EntryEvent) -> bool:
        """The kernel's word on an entry of this device: whether it is to be put right."""
        return self._peers.note(event)

    def distrust(self) -> None:
        """Have the far ends read again, too."""
        self._peers.distrust()

    def apply(self) -> Standing:
        """Look and put right; how it stands now. Raises DumpInterrupted, KernelRefused for dumps."""
        found = self._links.find(self.name)
        self.index = None if found is None else found.link.index
        wish = self._wish
        if wish is None:
            return self._retire(found)
        if found is not None and found.link.kind != wish.link_kind:
            return Standing(present=True, fault=foreign(wish, found.link))
        try:
            return self._stand(wish, found)
        except KernelRefused as refused:
            return Standing(present=found is not None, fault=fault_of(wish, refused))

    def _stand(self, wish: TunnelWish, found: TunnelLink | None) -> Standing:
        if found is not None and wish.shape is not None and found.shape != wish.shape:
            log.info("tunnel device is made anew", device=self.name, was=str(found.shape))
            self._links.delete(found.link.index)
            found = None
        if found is None:
            found = self._create(wish)
        index = self.index = found.link.index
        self._put_right(wish, found)
        address = self._settle_address(index, wish)
        refused = self._peers.apply(index) if wish.shape is not None else None
        fault = None if refused is None else fault_of(wish, refused)
        return Standing(
            present=True,
            up=True,
            address=None if address is None else address.interface.ip,
            fault=fault,
        )

    def _create(self, wish: TunnelWish) -> TunnelLink:
        try:
            self._links.create(wish)
        except KernelRefused as refused:
            made = self._links.find(self.name) if refused.errno == errno.EEXIST else None
            if made is None or made.link.kind != wish.link_kind:
                raise
            return made
        made = self._links.find(self.name)
        if made is None:
            raise KernelRefused(f"create {self.name}", errno.ENODEV)
        self._links.make_no_addresses(made.link.index)
        log.info("tunnel device made", device=self.name, mtu=wish.mtu, mac=wish.mac)
        return made

    def _put_right(self, wish: TunnelWish, found: TunnelLink) -> None:
        """Mark, MAC, MTU, settings, up: what differs."""
        link, settings = found.link, found.link.settings
        alias = None if link.alias == TUNNEL_ALIAS else TUNNEL_ALIAS
        mac = wish.mac if wish.mac and link.mac != wish.mac else None
        mtu = wish.mtu if wish.mtu and link.mtu != wish.mtu else None
        loose = (settings.forwarding4, settings.rp_filter) == (True, SETTINGS.rp_filter)
        up = None if link.up else True
        if loose and (alias, mac, mtu, up) == (None, None, None, None):
            return
        self._links.change(
            link.index, alias=alias, mac=mac, mtu=mtu, up=up, settings=None if loose else SETTINGS
        )
        log.info("tunnel device put right", device=self.name, mac=mac, mtu=mtu, up=up)

    def _settle_address(self, index: int, wish: TunnelWish) -> Address | None:
        """The wished address is there before others go; the one that stands then."""
        present = [each for each in self._links.addresses(index, self._version) if _counts(each)]
        if wish.address is None:
            return present[0] if present else None
        length = wish.address.max_prefixlen
        right = [
            each
            for each in present
            if each.interface.ip == wish.address and each.interface.network.prefixlen == length
        ]
        if not right:
            self._links.put_address(index, wish.address)
            log.info("tunnel address put", device=self.name, address=str(wish.address))
        for each in present:
            if each not in right:
                self._links.drop_address(each)
                log.info("address removed", device=self.name, address=str(each.interface))
        if right:
            return right[0]
        after = self._links.addresses(index, self._version)
        return next((each for each in after if each.interface.ip == wish.address), None)

    def _retire(self, found: TunnelLink | None) -> Standing:
        """Undo what was done to a device that carries our mark; leave any other alone."""
        if found is None:
            return Standing()
        link = found.link
        if link.alias != TUNNEL_ALIAS:
            return Standing(present=True, up=link.up)
        try:
            for address in self._links.addresses(link.index, self._version):
                self._links.drop_address(address)
            self._links.change(link.index, alias="", up=False)
            self._links.delete(link.index)
        except KernelRefused as refused:
            wish = TunnelWish(self.name, link.kind, link.mtu)
            return Standing(present=True, fault=fault_of(wish, refused))
        log.info("tunnel device retired", device=self.name)
        return Standing()


def _counts(address: Address) -> bool:
    """A link-local address is the kernel's own business."""
    return address.scope is not Scope.LINK
