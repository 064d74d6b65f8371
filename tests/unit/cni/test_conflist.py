from __future__ import annotations

import json
from pathlib import Path

import pytest

from cni import netconf
from cni.conflist import MARK, MARK_FIELD, Whose, networks, render, whose
from cni.settings import CniSettings, Settings
from felix_py.runtime.settings import load


def _types(text: str) -> list[str]:
    return [plugin["type"] for plugin in json.loads(text)["plugins"]]


def test_the_list_is_one_that_we_serve_and_carries_our_mark() -> None:
    network = json.loads(render(CniSettings(), ()))
    [plugin] = network["plugins"]
    assert plugin == {"type": "felix-py", "ipam": {"type": "felix-py"}, "policy": {"type": "k8s"}}
    assert network[MARK_FIELD] == MARK


def test_portmap_and_bandwidth_follow_where_the_host_has_them() -> None:
    assert _types(render(CniSettings(), ("portmap",))) == ["felix-py", "portmap"]
    present = ("bandwidth", "portmap", "host-local")
    assert _types(render(CniSettings(), present)) == ["felix-py", "portmap", "bandwidth"]


def test_addresses_past_ipam_are_allowed_where_the_settings_say_so() -> None:
    [plugin] = json.loads(render(CniSettings(ip_addrs_no_ipam=True), ()))["plugins"]
    parsed = netconf.parse({**plugin, "name": "n", "cniVersion": "1.0.0"})
    assert parsed.may_pass_ipam


def test_floating_addresses_are_allowed_where_the_settings_say_so() -> None:
    [plugin] = json.loads(render(CniSettings(floating_ips=True), ()))["plugins"]
    parsed = netconf.parse({**plugin, "name": "n", "cniVersion": "1.0.0"})
    assert (parsed.may_float, parsed.may_pass_ipam) == (True, False)


def test_bandwidth_is_not_chained_where_felix_limits_pods_itself() -> None:
    text = render(CniSettings(), ("bandwidth", "portmap"), shapes=True)
    assert _types(text) == ["felix-py", "portmap"]


@pytest.mark.parametrize(
    ("assign_ipv4", "assign_ipv6", "families"),
    [(True, False, (4,)), (True, True, (4, 6)), (False, True, (6,))],
)
def test_the_list_asks_for_the_families_of_the_settings(
    assign_ipv4: bool,  # noqa: FBT001
    assign_ipv6: bool,  # noqa: FBT001
    families: tuple[int, ...],
) -> None:
    settings = CniSettings(assign_ipv4=assign_ipv4, assign_ipv6=assign_ipv6)
    network = json.loads(render(settings, ()))
    [plugin] = network["plugins"]
    parsed = netconf.parse({**plugin, "name": network["name"], "cniVersion": "1.0.0"})
    assert parsed.families == families


@pytest.mark.parametrize(
    ("text", "owner"),
    [
        (render(CniSettings(), ()), Whose.OURS),
        ('{"plugins": [{"type": "felix-py"}, {"type": "tuning"}]}', Whose.OPERATORS),
        ('{"plugins": [{"type": "calico"}, {"type": "felix-py"}]}', Whose.FOREIGN),
        ('{"plugins": []}', Whose.FOREIGN),
        ('{"plugins": "felix-py"}', Whose.FOREIGN),
        ('["felix-py"]', Whose.FOREIGN),
        ("", Whose.FOREIGN),
        ("{", Whose.FOREIGN),
        ("\xff", Whose.FOREIGN),
    ],
)
def test_only_the_mark_says_that_a_list_is_ours(text: str, owner: Whose) -> None:
    assert whose(text.encode("latin-1")) is owner


def test_runtimes_take_the_first_network_by_name() -> None:
    names = ["99-z.conf", "10-felix-py.conflist", ".10-felix-py.conflist.7", "README", "05-a.json"]
    assert networks(names) == ["05-a.json", "10-felix-py.conflist", "99-z.conf"]


def test_shim_and_server_read_the_same_variable(tmp_path: Path) -> None:
    nowhere = tmp_path / "none"
    settings = load(Settings, nowhere, {"FELIX_PY_CNI_SOCKET": "/x/y.sock"})
    assert str(settings.socket_path) == "/x/y.sock"
    assert str(load(Settings, nowhere, {}).socket_path) == "/run/felix-py/cni.sock"
