"""Which sources a pod's link may have."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network

from felix_py.agent.calc.spoofing import Sources, sources_of
from felix_py.agent.snapshot import Claim
from felix_py.agent.survivors import Survivor
from felix_py.datastore.felix_configuration import FelixConfiguration
from tests.unit.agent.builders import cali, endpoint, endpoint_key, snapshot_of

A, A6 = "10.244.0.7/32", "fd00:244::7/128"


def claim(name: str, *addresses: str, age: int = 1, link: str = "cali1", by: str = "c1") -> Claim:
    made = endpoint(name, *addresses, link=link, container=by)
    return Claim(endpoint_key(name), made, age)


def test_a_pod_may_send_from_its_addresses_of_both_families() -> None:
    found = sources_of("cali1", snapshot_of([claim("a", A, A6)], cali()))
    assert found == Sources((ip_network(A), ip_network(A6)))


def test_of_two_claims_only_the_one_that_has_the_route_may_send() -> None:
    older, newer = claim("a", A), claim("b", A, age=2, link="cali2", by="c2")
    snapshot = snapshot_of([older, newer], cali(), cali("cali2", 6, "net.c2"))
    assert sources_of("cali1", snapshot) == Sources()
    assert sources_of("cali2", snapshot) == Sources((ip_network(A),))


def test_a_link_that_is_not_there_or_belongs_to_another_container_has_none() -> None:
    assert sources_of("cali1", snapshot_of([claim("a", A)])) is None
    assert sources_of("cali1", snapshot_of([claim("a", A)], cali(alias="net.other"))) is None


def test_an_endpoint_cannot_name_the_hosts_uplink_or_a_pattern() -> None:
    for name in ("eth0", 'cali"', "cali*", "cali1 }"):
        snapshot = snapshot_of([claim("a", A, link=name)], cali(name))
        assert sources_of(name, snapshot) is None


def test_spoofable_prefixes_count_only_where_the_administrator_said_any() -> None:
    free = claim("a", A)
    free = replace(free, endpoint=replace(free.endpoint, spoofable=(ip_network("10.50.0.0/16"),)))
    snapshot = snapshot_of([free], cali())
    assert sources_of("cali1", snapshot) == Sources((ip_network(A),))
    allowed = replace(snapshot, configuration=FelixConfiguration(any_source_spoofing=True))
    assert sources_of("cali1", allowed) == Sources((ip_network(A),), (ip_network("10.50.0.0/16"),))


def test_a_pod_that_an_accepted_store_lacks_may_go_on_sending() -> None:
    address = ip_network(A)
    survivor = Survivor("cali1", "default/a", (address,), 0.0)
    snapshot = replace(snapshot_of([], cali()), survivors={address: survivor})
    assert sources_of("cali1", snapshot) == Sources((address,))
    other = claim("b", A, link="cali2", by="c2")
    taken = replace(
        snapshot_of([other], cali(), cali("cali2", 6, "net.c2")), survivors={address: survivor}
    )
    assert sources_of("cali1", taken) is None
