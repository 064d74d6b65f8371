"""Pods that live here although etcd does not know them."""

from __future__ import annotations

import json
from ipaddress import ip_network
from pathlib import Path

from felix_py.agent.calc.local_routes import route_of
from felix_py.agent.state import State
from felix_py.agent.survivors import LASTING_SECONDS, Survivors, lasting
from felix_py.datastore.model import IPNetwork
from felix_py.kernel.model import Link
from felix_py.kernel.pod_records import PodRecord, record_of
from felix_py.kernel.pod_route import pod_route
from tests.unit.agent.builders import ME, cali, change, endpoint, endpoint_key

NAME = "cali00000000001"
ADDRESS: IPNetwork = ip_network("10.244.0.7/32")
RECORD = PodRecord(NAME, "net.c1", ("10.244.0.7",), "c1", "default", "web")


def pod_link(index: int = 7, alias: str = "net.c1") -> Link:
    return cali(NAME, index, alias)


def decided(state: State, survivors: Survivors, now: float = 0.0) -> object:
    state.set_survivors(survivors.find(state.unexplained_links, now))
    assert ADDRESS in state.take_dirty().addresses
    return route_of(ADDRESS, state.snapshot)


def test_a_live_pod_that_etcd_does_not_know_keeps_its_route() -> None:
    state, survivors = State(ME), Survivors(lambda _: RECORD)
    state.set_links([pod_link()])
    assert decided(state, survivors) == pod_route(ADDRESS.network_address, 7)
    state.set_links([pod_link(index=9)])
    assert decided(state, survivors) == pod_route(ADDRESS.network_address, 9)
    state.set_links([])
    assert decided(state, survivors) is None


def test_without_its_record_a_link_keeps_nothing() -> None:
    state = State(ME)
    state.set_links([pod_link()])
    assert Survivors(lambda _: None).find(state.unexplained_links, 0) == {}


def test_a_record_is_read_once_per_link() -> None:
    asked: list[Link] = []

    def read(one: Link) -> PodRecord:
        asked.append(one)
        return RECORD

    survivors = Survivors(read)
    for _ in range(3):
        survivors.find([pod_link()], 0)
    survivors.find([pod_link(alias="net.c2")], 0)
    assert len(asked) == 2


def test_people_hear_of_those_that_last() -> None:
    survivors = Survivors(lambda _: RECORD)
    found = survivors.find([pod_link()], 10.0)
    assert lasting(found, 10.0 + LASTING_SECONDS / 2) == []
    [told] = lasting(survivors.find([pod_link()], 99.0), 10.0 + LASTING_SECONDS)
    assert (told.title, told.link) == ("default/web", NAME)


def test_an_endpoint_that_vanishes_from_an_accepted_store_changes_nothing() -> None:
    state, survivors = State(ME), Survivors(lambda _: RECORD)
    key = endpoint_key("web")
    state.set_links([pod_link()])
    state.fold({key: change(endpoint("web", str(ADDRESS), link=NAME))})
    assert decided(state, survivors) == pod_route(ADDRESS.network_address, 7)
    assert state.unexplained_links == []
    state.fold({key: change(None)})
    assert decided(state, survivors) == pod_route(ADDRESS.network_address, 7)
    assert state.unexplained_links == [pod_link()]


def test_an_endpoint_on_a_link_of_its_own_wins() -> None:
    state, survivors = State(ME), Survivors(lambda _: RECORD)
    state.set_links([pod_link(), cali("cali2", 11, "net.c2")])
    state.fold(
        {endpoint_key("new"): change(endpoint("new", str(ADDRESS), link="cali2", container="c2"))}
    )
    assert decided(state, survivors) == pod_route(ADDRESS.network_address, 11)


def test_a_record_counts_only_for_the_link_that_it_names(tmp_path: Path) -> None:
    (tmp_path / "endpoints").mkdir()
    file = tmp_path / "endpoints" / f"{NAME}.json"
    text = {"hostLink": NAME, "handle": "net.c1", "addresses": ["10.244.0.7"], "more": 1}
    file.write_text(json.dumps(text))
    found = record_of(pod_link(), str(tmp_path))
    assert found is not None
    assert found.networks == (ADDRESS,)
    assert found.title == "container "
    assert record_of(pod_link(alias="net.c2"), str(tmp_path)) is None
    assert record_of(pod_link(alias=""), str(tmp_path)) is None
    assert record_of(cali("eth0", 2), str(tmp_path)) is None
    for damaged in ('{"hostLink"', json.dumps({**text, "addresses": ["10.244.0.700"]})):
        file.write_text(damaged)
        assert record_of(pod_link(), str(tmp_path)) is None
