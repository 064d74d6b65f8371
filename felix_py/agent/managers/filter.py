"""What packets may pass and whose address they bear: our nftables tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import structlog

from felix_py.agent.calc import floating, nat, ruleset, senders, spoofing
from felix_py.agent.calc.ruleset import Facts
from felix_py.agent.calc.senders import Tunnels
from felix_py.agent.calc.spoofing import LinkElements, Sources
from felix_py.agent.managers.forwarding import Forwarding
from felix_py.agent.snapshot import Dirty, Snapshot
from felix_py.datastore.model import IPInterface, IPNetwork, NodeName
from felix_py.kernel.errors import DumpInterrupted, KernelRefused
from felix_py.kernel.model import Link
from felix_py.kernel.nft_model import NftNews
from felix_py.kernel.nft_table import NftTables

log = structlog.get_logger(__name__)

Forget = Callable[[int, Callable[[bytes, bytes], bool]], int]
"""kernel/conntrack.py `forget_untranslated`: IP version, who is due; how many went."""


class FilterManager:
    """Implements manager.Manager: natOutgoing, sources of pods, senders of tunnelled packets.

    A pod that comes or goes changes elements of sets; only pools, configuration and tunnels change
    rules. Connections that were born while the tables were away have no translation, and would keep
    having none: they are forgotten once the tables stand again.
    """

    name = "filter"

    def __init__(
        self,
        tables: NftTables,
        news: Callable[[], NftNews],
        forwarding: Forwarding,
        forget: Forget,
    ) -> None:
        self._tables, self._news, self._forwarding, self._forget = tables, news, forwarding, forget
        self._facts = Facts()
        self._sources: dict[str, Sources] = {}
        self._elements: dict[str, LinkElements] = {}
        self._holders: dict[IPNetwork, str] = {}
        self._nodes = _NodeTexts()
        self._decided = self._to_forget = False
        self._admitting: Tunnels | None = None
        self._repaired = self._forgotten = 0
        self._refused = ""

    @property
    def senders_stand(self) -> bool:
        """Tunnels that are wanted now unpack what known nodes sent alone: the rules for them were written.

        A table that others flushed is back within the second, and no reason to take an address back
        that other nodes tunnel to.
        """
        wanted, written = self._facts.tunnels, self._admitting
        return (
            self._decided
            and written is not None
            and wanted.ipip <= written.ipip
            and wanted.vxlan <= written.vxlan
        )

    def decide(self, dirty: Dirty, snapshot: Snapshot) -> None:
        """Recompute what is dirty, or everything."""
        for name in self._touched(dirty, snapshot):
            self._decide_link(name, snapshot)
        if dirty.everything or dirty.nodes or dirty.links:
            self._facts = Facts(
                snapshot.configuration,
                nat.outgoing(snapshot.pools.values()),
                senders.tunnels(snapshot),
                self._nodes.of(snapshot),
            )
        self._facts = replace(self._facts, floating=floating.floating(snapshot))
        self._tables.want(ruleset.tables(self._facts, self._elements.values()))
        self._decided = True

    def apply(self, now: float, links: Sequence[Link], *, sweep: bool) -> bool:  # noqa: ARG002
        """Bring the kernel to what is wanted; False when something is still wrong."""
        news = self._news()
        self._tables.note(news)
        self._forwarding.note(news)
        if sweep:
            self._tables.sweep()
        written = self._tables.apply(now)
        if written.repaired:
            self._repaired += 1
            self._to_forget = True
        if self._tables.stand:
            self._admitting = self._facts.tunnels
        if self._to_forget and self._tables.stand:
            self._to_forget = not self._forget_untranslated()
        admitted = self._forwarding.apply(now)
        return self._tables.stand and admitted and not self._to_forget

    def report(self) -> Mapping[str, object]:
        """What is wanted, and whether it stands."""
        tunnels, outgoing = self._facts.tunnels, self._facts.outgoing
        return {
            "stands": self._tables.stand,
            "failed": self._tables.failure,
            "repaired": self._repaired,
            "connectionsForgotten": self._forgotten,
            "podLinks": len(self._elements),
            "natOutgoing": [str(each) for each in outgoing.sources],
            "floatingAddresses": len(self._facts.floating.led),
            "senders": {
                "ipip": tunnels.ipip,
                "vxlan": [f"ipv{version}" for version in sorted(tunnels.vxlan)],
                "nodes": sum(len(each) for each in self._facts.nodes.values()),
            },
            "forwardChains": self._forwarding.chains,
        }

    def warnings(self) -> Sequence[str]:
        """What keeps packets from passing as they should."""
        found = self._forwarding.warnings()
        if self._tables.failure is not None:
            found.insert(
                0,
                "natOutgoing and anti-spoofing are not as etcd says, the kernel keeps what stood "
                f"there: {self._tables.failure}",
            )
        if self._refused:
            found.append(f"connections without translation cannot be forgotten: {self._refused}")
        return found

    def _touched(self, dirty: Dirty, snapshot: Snapshot) -> set[str]:
        """The links whose sources may be others now."""
        spoofing_before = self._facts.configuration.any_source_spoofing
        if dirty.everything or snapshot.configuration.any_source_spoofing != spoofing_before:
            survivors = {each.link for each in snapshot.survivors.values()}
            return {*self._sources, *snapshot.interfaces, *survivors}
        names = set(dirty.interfaces)
        for address in dirty.addresses:
            names |= {
                claim.endpoint.interface_name for claim in snapshot.claims.get(address, {}).values()
            }
            if address in self._holders:
                names.add(self._holders[address])
            if address in snapshot.survivors:
                names.add(snapshot.survivors[address].link)
        return names

    def _decide_link(self, name: str, snapshot: Snapshot) -> None:
        sources = spoofing.sources_of(name, snapshot)
        before = self._sources.get(name)
        if sources == before:
            return
        for address in () if before is None else before.addresses:
            if self._holders.get(address) == name:
                del self._holders[address]
        if sources is None:
            self._sources.pop(name, None)
            self._elements.pop(name, None)
            return
        self._sources[name] = sources
        self._elements[name] = spoofing.elements_of(name, sources)
        self._holders.update(dict.fromkeys(sources.addresses, name))

    def _forget_untranslated(self) -> bool:
        outgoing, nodes = self._facts.outgoing, self._facts.nodes
        try:
            gone = sum(
                self._forget(version, outgoing.due(version, nodes[version]))
                for version in outgoing.versions()
            )
        except (KernelRefused, DumpInterrupted) as error:
            self._refused = str(error)
            return False
        self._refused = ""
        self._forgotten += gone
        if gone:
            log.info("connections without translation forgotten", count=gone)
        return True


class _NodeTexts:
    """All nodes' addresses as text; a node's text is kept while its address stays the same object."""

    def __init__(self) -> None:
        self._known: dict[tuple[NodeName, int], tuple[IPInterface, str]] = {}

    def of(self, snapshot: Snapshot) -> Mapping[int, frozenset[str]]:
        """By IP version."""
        known, found = self._known, {4: set[str](), 6: set[str]()}
        fresh: dict[tuple[NodeName, int], tuple[IPInterface, str]] = {}
        for name, stored in snapshot.nodes.items():
            for interface in (stored.value.ipv4_address, stored.value.ipv6_address):
                if interface is None:
                    continue
                key = name, interface.version
                kept = known.get(key)
                if kept is None or kept[0] is not interface:
                    kept = interface, str(interface.ip)
                fresh[key] = kept
                found[interface.version].add(kept[1])
        self._known = fresh
        return {version: frozenset(texts) for version, texts in found.items()}
