"""Driver: the far ends of a VXLAN device, as static forwarding entries and permanent neighbours."""

from __future__ import annotations

from collections.abc import Mapping

from felix_py.kernel.delta import DeltaTracker
from felix_py.kernel.errors import KernelRefused
from felix_py.kernel.model import IPAddress
from felix_py.kernel.neighbour_dump import PERMANENT, ForwardingEntry, NeighbourEntry
from felix_py.kernel.port import TunnelLinks
from felix_py.kernel.tunnel_model import (
    DropForwarding,
    DropNeighbour,
    EntryChange,
    EntryEvent,
    PutForwarding,
    PutNeighbour,
    Vtep,
)


class TunnelPeers:
    """Keeps one device's entries as wanted, and removes what nobody wants: the device is all ours.

    Things that this class is shaped by:
    - a MAC may have several nodes (`bridge fdb append`), of which packets take all: only one stays;
    - our own forwarding entries come back as events that do not say who wrote them: an event that
      says what is wanted is passed over, one that does not has everything read again;
    - neighbours that the kernel itself is looking for come and go; only permanent ones count.
    """

    def __init__(self, links: TunnelLinks) -> None:
        self._links = links
        self._forwarding: DeltaTracker[str, IPAddress] = DeltaTracker()
        self._neighbours: DeltaTracker[IPAddress, str] = DeltaTracker()
        self._surplus: list[DropForwarding] = []
        self._index: int | None = None

    def want(self, remotes: Mapping[IPAddress, Vtep]) -> None:
        """These far ends and no others. Of two that claim one MAC the higher address has it."""
        ordered = sorted(remotes.items(), key=lambda item: item[0].packed)
        self._forwarding.want_exactly({vtep.mac: vtep.node_address for _, vtep in ordered})
        self._neighbours.want_exactly({address: vtep.mac for address, vtep in ordered})

    def distrust(self) -> None:
        """Have everything read again."""
        self._index = None

    def note(self, event: EntryEvent) -> bool:
        """The kernel's word on an entry: whether it contradicts what is wanted."""
        entry = event.entry
        if isinstance(entry, ForwardingEntry):
            wanted: object = self._forwarding.desired.get(entry.mac)
            said: object = entry.far_end
        else:
            wanted, said = self._neighbours.desired.get(entry.address), entry.mac
        permanent = entry.state == PERMANENT
        if event.gone:
            wrong = wanted is not None and wanted == said
        else:
            wrong = permanent if wanted is None else not (permanent and wanted == said)
        if wrong:
            self.distrust()
        return wrong

    def apply(self, index: int) -> KernelRefused | None:
        """Make the device agree; the first refusal. Raises DumpInterrupted, KernelRefused."""
        if self._index != index:
            self._read(index)
        changes = self._changes()
        if not changes:
            return None
        first: KernelRefused | None = None
        answers = self._links.change_entries(index, changes)
        for change, refused in zip(changes, answers, strict=True):
            if refused is None:
                self._done(change)
            elif first is None:
                first = refused
        if first is not None:
            self.distrust()
        return first

    def _read(self, index: int) -> None:
        forwarding: dict[str, IPAddress] = {}
        self._surplus = []
        for entry in self._links.forwarding(index):
            if entry.far_end is None:
                continue
            wanted = self._forwarding.desired.get(entry.mac)
            right = entry.state == PERMANENT and entry.far_end == wanted
            if entry.mac in forwarding and not right:
                self._surplus.append(DropForwarding(entry.mac, entry.far_end))
                continue
            if entry.mac in forwarding:
                self._surplus.append(DropForwarding(entry.mac, forwarding[entry.mac]))
            if right or wanted is None or entry.state == PERMANENT:
                forwarding[entry.mac] = entry.far_end
        self._forwarding.saw_exactly(forwarding)
        self._neighbours.saw_exactly(
            {entry.address: entry.mac for entry in self._links.neighbours(index) if _lasts(entry)}
        )
        self._index = index

    def _changes(self) -> list[EntryChange]:
        """Puts first: a far end that moves is never without an entry."""
        forwarding, neighbours = self._forwarding.plan(), self._neighbours.plan()
        changes: list[EntryChange] = [
            PutForwarding(mac, node) for mac, node in forwarding.upsert.items()
        ]
        changes += [PutNeighbour(address, mac) for address, mac in neighbours.upsert.items()]
        changes += [DropNeighbour(address) for address in neighbours.delete]
        changes += [DropForwarding(mac, node) for mac, node in forwarding.delete.items()]
        changes += self._surplus
        return changes

    def _done(self, change: EntryChange) -> None:
        match change:
            case PutForwarding(mac=mac, node_address=node):
                self._forwarding.saw(mac, node)
            case PutNeighbour(address=address, mac=mac):
                self._neighbours.saw(address, mac)
            case DropNeighbour(address=address):
                self._neighbours.saw(address, None)
            case DropForwarding() if change in self._surplus:
                self._surplus.remove(change)
            case DropForwarding(mac=mac):
                self._forwarding.saw(mac, None)


def _lasts(entry: NeighbourEntry) -> bool:
    return entry.state == PERMANENT
