"""What nft is told, kept as files for review."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

from felix_py.agent.calc import ruleset, spoofing
from felix_py.agent.calc.nat import Outgoing
from felix_py.agent.calc.ruleset import Facts
from felix_py.agent.calc.senders import Tunnels
from felix_py.agent.calc.spoofing import LinkElements, Sources
from felix_py.datastore.felix_configuration import FelixConfiguration
from felix_py.kernel.nft_script import changes, whole
from tests.support.golden import Golden

POOL4, POOL6, OTHER4 = (
    ip_network(text) for text in ("10.244.0.0/16", "fd00:244::/64", "10.8.0.0/16")
)
NODES = {4: frozenset({"192.168.50.11", "192.168.50.12"}), 6: frozenset({"fd50::11"})}


def links() -> list[LinkElements]:
    return [
        spoofing.elements_of(
            "cali1",
            Sources(
                (ip_network("10.244.0.7/32"), ip_network("fd00:244::7/128")),
                (ip_network("10.50.0.0/17"), ip_network("10.50.128.0/17"), ip_network("fd51::/64")),
            ),
        ),
        spoofing.elements_of("cali2", Sources((ip_network("10.244.0.8/32"),))),
    ]


def text(facts: Facts) -> str:
    return whole(ruleset.tables(facts, links()))


def test_a_node_without_pools_only_keeps_pods_from_lying(golden: Golden) -> None:
    golden.check("felix/nft_no_pools.nft", text(Facts(nodes=NODES)))


def test_two_families_of_pools_are_masqueraded_and_tunnels_have_known_senders(
    golden: Golden,
) -> None:
    facts = Facts(
        FelixConfiguration(),
        Outgoing((POOL4, POOL6), (OTHER4, POOL4, POOL6)),
        Tunnels(ipip=True, vxlan=frozenset({4, 6})),
        NODES,
    )
    golden.check("felix/nft_tunnels_and_nat.nft", text(facts))


def test_every_switch_of_felixconfiguration_has_its_place(golden: Golden) -> None:
    configuration = FelixConfiguration(
        vxlan_port=8472,
        external_nodes=(ip_network("10.9.0.0/16"), ip_network("fd09::/64")),
        allow_ipip_from_workloads=True,
        allow_vxlan_from_workloads=True,
        nat_outgoing_address=ip_address("192.0.2.1"),
        nat_outgoing_spares_hosts=True,
        nat_port_range=(32768, 65535),
        nat_outgoing_interfaces="eth+",
    )
    facts = Facts(
        configuration, Outgoing((POOL4, POOL6), (POOL4, POOL6)), Tunnels(ipip=True), NODES
    )
    golden.check("felix/nft_every_switch.nft", text(facts))


def test_an_address_for_one_family_leaves_the_other_masqueraded() -> None:
    configuration = FelixConfiguration(
        nat_outgoing_address=ip_address("fd50::9"), nat_port_range=(1024, 2000)
    )
    told = text(Facts(configuration, Outgoing((POOL4, POOL6), (POOL4, POOL6))))
    assert "snat ip6 to [fd50::9]:1024-2000 fully-random" in told
    assert "snat ip6 to fd50::9 fully-random" in told
    assert "masquerade to :1024-2000 fully-random" in told


def test_an_interface_filter_that_is_no_name_reaches_no_script() -> None:
    configuration = FelixConfiguration(nat_outgoing_interfaces='eth0" drop; flush ruleset; #')
    told = text(Facts(configuration, Outgoing((POOL4,), (POOL4,))))
    assert "flush" not in told
    assert "oifname" not in told


def test_a_pod_more_changes_elements_and_no_rule() -> None:
    facts = Facts(FelixConfiguration(), Outgoing((POOL4,), (POOL4,)))
    old = ruleset.tables(facts, links()[:1])
    new = ruleset.tables(facts, links())
    assert changes(old, new) == (
        'add element inet felix-py pod-links { "cali2" }\n'
        'add element inet felix-py pod-sources4 { "cali2" . 10.244.0.8 }\n'
        'add element arp felix-py pod-links { "cali2" }\n'
        'add element arp felix-py pod-sources { "cali2" . 10.244.0.8 }\n'
    )


def test_without_a_natted_pool_no_chain_asks_for_connection_tracking() -> None:
    told = text(Facts(FelixConfiguration(), Outgoing((), (POOL4,)), Tunnels(ipip=True), NODES))
    assert "type nat" not in told
    assert " ct " not in told
