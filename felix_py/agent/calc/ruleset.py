"""Pure: our nftables tables as a whole, from what is known now."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from felix_py.agent.calc import floating, nat, senders, spoofing
from felix_py.agent.calc.floating import FloatingAddresses
from felix_py.agent.calc.nat import Outgoing
from felix_py.agent.calc.nft_text import NamedSets
from felix_py.agent.calc.senders import Tunnels
from felix_py.agent.calc.spoofing import LinkElements
from felix_py.datastore.felix_configuration import FelixConfiguration
from felix_py.kernel.nft_model import NftTable
from felix_py.kernel.ownership import NFT_TABLE

NOBODY: Mapping[int, frozenset[str]] = {4: frozenset(), 6: frozenset()}


@dataclass(frozen=True, slots=True)
class Facts:
    """What the tables are made of. `nodes`: all nodes' addresses as text, by IP version."""

    configuration: FelixConfiguration = field(default_factory=FelixConfiguration)
    outgoing: Outgoing = field(default_factory=Outgoing)
    tunnels: Tunnels = field(default_factory=Tunnels)
    nodes: Mapping[int, frozenset[str]] = field(default_factory=lambda: NOBODY)
    floating: FloatingAddresses = field(default_factory=FloatingAddresses)


def tables(facts: Facts, links: Collection[LinkElements]) -> tuple[NftTable, NftTable]:
    """The inet table, and the arp table, because no other sees ARP."""
    configuration = facts.configuration
    needed = facts.tunnels.any or configuration.nat_outgoing_spares_hosts
    inet_sets = {
        **spoofing.sets(links),
        **nat.sets(facts.outgoing),
        **floating.sets(facts.floating),
        **senders.sets(facts.nodes if needed else NOBODY, configuration.external_nodes or ()),
    }
    inet_chains = (
        spoofing.chains(configuration),
        senders.chains(facts.tunnels, configuration.vxlan_port),
        floating.chains(facts.floating),
        nat.chains(facts.outgoing, configuration),
    )
    return (
        _table("inet", inet_sets, *inet_chains),
        _table("arp", spoofing.arp_sets(links), spoofing.arp_chains()),
    )


def _table(family: str, sets: NamedSets, *chains: str) -> NftTable:
    declarations = [declaration for declaration, _ in sets.values()]
    body = "\n".join([*declarations, *(each for each in chains if each)])
    return NftTable(family, NFT_TABLE, body, {name: held for name, (_, held) in sets.items()})
