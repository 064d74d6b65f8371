"""The filter's manager: what is decided bit by bit is what is decided at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from ipaddress import ip_network
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st

from felix_py.agent.managers.filter import FilterManager
from felix_py.agent.managers.forwarding import Forwarding
from felix_py.agent.snapshot import Dirty, Snapshot
from felix_py.agent.state import State
from felix_py.datastore.felix_configuration import FelixConfiguration
from felix_py.datastore.keys import ResourceKey
from felix_py.datastore.model import IPPool, Kind, Metadata
from felix_py.kernel.nft_model import NftNews, NftTable
from felix_py.kernel.nft_table import NftTables, Written
from tests.unit.agent.builders import ME, OTHER, cali, change, endpoint, endpoint_key, node


class Tables:
    """Takes what is wanted as if it were written."""

    def __init__(self) -> None:
        self.wanted: Sequence[NftTable] = ()
        self.written = Written()
        self.stand = True
        self.failure: str | None = None

    def want(self, tables: Sequence[NftTable]) -> None:
        self.wanted = tables

    def note(self, news: NftNews) -> None:
        pass

    def sweep(self) -> None:
        pass

    def apply(self, now: float) -> Written:
        return self.written


class NoChains:
    def __init__(self) -> None:
        self.chains: dict[str, str] = {}

    def note(self, news: NftNews) -> None:
        pass

    def apply(self, now: float) -> bool:
        return True

    def warnings(self) -> list[str]:
        return []


class Made:
    def __init__(self) -> None:
        self.tables = Tables()
        self.forgotten: list[int] = []
        self.manager = FilterManager(
            cast("NftTables", self.tables),
            NftNews,
            cast("Forwarding", NoChains()),
            self._forget,
        )

    def _forget(self, version: int, due: Any) -> int:
        self.forgotten.append(version)
        return 2

    def senders_stand(self) -> bool:
        return self.manager.senders_stand

    def elements(self, name: str) -> frozenset[str]:
        return self.tables.wanted[0].elements[name]


def pool_change(cidr: str, *, natted: bool = True) -> dict[Any, Any]:
    pool = IPPool(Metadata("p"), ip_network(cidr), 26, nat_outgoing=natted)
    return {ResourceKey(Kind.IP_POOL, "p"): change(pool)}


STEPS = st.lists(
    st.sampled_from(
        [
            ("a", ("10.0.0.1/32",), "cali1", "c1"),
            ("a", ("10.0.0.2/32",), "cali1", "c1"),
            ("b", ("10.0.0.1/32", "fd00::1/128"), "cali2", "c2"),
            ("b", ("10.0.0.2/32",), "cali1", "c1"),
            ("a", (), "", ""),
            ("b", (), "", ""),
            ("links", (), "cali1", ""),
            ("links", (), "cali1 cali2", ""),
            ("links", (), "", ""),
        ]
    ),
    max_size=12,
)


def take(state: State, step: tuple[str, tuple[str, ...], str, str], age: int) -> None:
    name, addresses, link, container = step
    if name == "links":
        state.set_links(cali(each, int(each[4:]), f"net.c{each[4:]}") for each in link.split())
        return
    made = endpoint(name, *addresses, link=link, container=container) if addresses else None
    state.fold({endpoint_key(name): change(made, age)})


@given(STEPS)
def test_bit_by_bit_and_at_once_give_the_same_tables(
    steps: list[tuple[str, tuple[str, ...], str, str]],
) -> None:
    state, bit_by_bit = State(ME), Made()
    for age, step in enumerate(steps, 1):
        take(state, step, age)
        bit_by_bit.manager.decide(state.take_dirty(), state.snapshot)
    at_once = Made()
    at_once.manager.decide(Dirty(everything=True), state.snapshot)
    bit_by_bit.manager.decide(Dirty(), state.snapshot)
    assert list(bit_by_bit.tables.wanted) == list(at_once.tables.wanted)


def decided(state: State) -> Made:
    made = Made()
    made.manager.decide(state.take_dirty(), state.snapshot)
    return made


def test_a_change_of_the_spoofing_switch_concerns_every_pod() -> None:
    state = State(ME)
    free = replace(endpoint("a", "10.0.0.1/32"), spoofable=(ip_network("10.50.0.0/16"),))
    state.fold({endpoint_key("a"): change(free)})
    state.set_links([cali("cali1", 1, "net.c1")])
    made = decided(state)
    for switch, held in ((True, {'"cali1" . 10.50.0.0/16'}), (None, set())):
        configuration = FelixConfiguration(any_source_spoofing=switch)
        key = ResourceKey(Kind.FELIX_CONFIGURATION, "default")
        state.fold({key: change(configuration)})
        made.manager.decide(state.take_dirty(), state.snapshot)
        assert made.elements("pod-prefixes4") == held


def test_nodes_addresses_are_held_only_while_a_tunnel_needs_them() -> None:
    state = State(ME)
    state.fold({ResourceKey(Kind.NODE, OTHER): change(node(OTHER, "192.168.50.12/24"))})
    assert decided(state).elements("nodes4") == frozenset()
    state.set_links([cali("tunl0", 9, "")])
    made = Made()
    made.manager.decide(Dirty(everything=True), state.snapshot)
    assert made.elements("nodes4") == {"192.168.50.12"}


def test_senders_stand_once_the_rules_for_their_tunnels_were_written() -> None:
    made, state = Made(), State(ME)
    assert not made.senders_stand()
    made.manager.decide(state.take_dirty(), state.snapshot)
    assert not made.senders_stand()
    made.manager.apply(0.0, (), sweep=False)
    assert made.senders_stand()
    made.tables.stand = False
    assert made.senders_stand(), "a flush by others takes no tunnel address back"
    state.set_links([cali("tunl0", 9, "")])
    made.manager.decide(state.take_dirty(), state.snapshot)
    made.manager.apply(1.0, (), sweep=False)
    assert not made.senders_stand()
    made.tables.stand = True
    made.manager.apply(2.0, (), sweep=False)
    assert made.senders_stand()


def test_after_a_repair_connections_without_translation_are_forgotten_once() -> None:
    state = State(ME)
    state.fold(pool_change("10.244.0.0/16"))
    made = decided(state)
    made.tables.written = Written(changed=True, repaired=True)
    assert made.manager.apply(0.0, (), sweep=False)
    made.tables.written = Written()
    assert made.manager.apply(1.0, (), sweep=False)
    assert made.forgotten == [4]
    assert made.manager.report()["connectionsForgotten"] == 2


def test_what_nft_refuses_is_said_in_a_sentence() -> None:
    made = Made()
    made.manager.decide(Dirty(everything=True), Snapshot(ME))
    made.tables.stand, made.tables.failure = False, "nft: Error: no"
    assert not made.manager.apply(0.0, (), sweep=False)
    assert "nft: Error: no" in made.manager.warnings()[0]
