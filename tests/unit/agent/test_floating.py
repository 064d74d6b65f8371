"""Which floating addresses a node leads to which pods."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_network

from felix_py.agent.calc.floating import FloatingAddresses, chains, floating, sets
from felix_py.agent.snapshot import Claim, Snapshot
from felix_py.datastore.felix_configuration import FelixConfiguration
from felix_py.datastore.floating import FloatingAddress
from tests.unit.agent.builders import cali, endpoint, endpoint_key, snapshot_of

A, B, OUT, OUT6 = map(ip_address, ("10.244.0.7", "10.244.0.8", "10.250.0.9", "fd00:250::9"))
A6 = ip_address("fd00:244::7")


def claim(name: str, *pairs: FloatingAddress, age: int, link: str, by: str) -> Claim:
    own = {str(ip_network(pair.internal)) for pair in pairs}
    made = replace(endpoint(name, *own, link=link, container=by), floating=pairs)
    return Claim(endpoint_key(name), made, age)


def served(*claims: Claim, on: bool | None = True) -> Snapshot:
    links = (cali("cali1", 5, "net.c1"), cali("cali2", 6, "net.c2"))
    made = snapshot_of(claims, *links)
    return replace(made, configuration=FelixConfiguration(floating_ips=on))


def test_nothing_is_led_anywhere_unless_the_administrator_said_so() -> None:
    one = claim("a", FloatingAddress(A, OUT), age=1, link="cali1", by="c1")
    for switch in (None, False):
        nothing = floating(served(one, on=switch))
        assert nothing == FloatingAddresses()
        assert (sets(nothing), chains(nothing)) == ({}, "")


def test_both_families_are_led_and_a_pod_hears_itself_by_its_floating_address() -> None:
    pairs = (FloatingAddress(A, OUT), FloatingAddress(A6, OUT6))
    found = floating(served(claim("a", *pairs, age=1, link="cali1", by="c1")))
    assert dict(found.led) == {OUT: A, OUT6: A6}
    elements = {name: held for name, (_, held) in sets(found).items()}
    assert elements == {
        "floating4": {f"{OUT} : {A}"},
        "floating6": {f"{OUT6} : {A6}"},
        "floating-self4": {f"{A} . {A} : {OUT}"},
        "floating-self6": {f"{A6} . {A6} : {OUT6}"},
    }


def test_of_two_pods_with_one_floating_address_the_newer_has_it() -> None:
    older = claim("z", FloatingAddress(A, OUT), age=1, link="cali1", by="c1")
    newer = claim("a", FloatingAddress(B, OUT), age=2, link="cali2", by="c2")
    assert dict(floating(served(older, newer)).led) == {OUT: B}
    assert dict(floating(served(newer, older)).led) == {OUT: B}
    elsewhere = replace(newer.endpoint, container_id="gone")
    assert dict(floating(served(older, replace(newer, endpoint=elsewhere))).led) == {OUT: A}


def test_the_rules_are_the_same_whoever_has_an_address() -> None:
    none = FloatingAddresses(enabled=True)
    some = FloatingAddresses(enabled=True, led=((OUT, A),))
    assert chains(none) == chains(some)
    assert [text for text, _ in sets(none).values()] == [text for text, _ in sets(some).values()]
