from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict, replace
from ipaddress import ip_address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cni.errors import BadNetworkConfig, CniError
from cni.request import Command, Pod, RawRequest, parse
from tests.unit.cni.requests import CONTAINER, K8S_ARGS, conf, raw, request


def test_the_handle_is_network_and_container() -> None:
    assert request().handle == f"k8s-pod-network.{CONTAINER}"


def test_a_pod_of_kubernetes_is_named_by_cni_args() -> None:
    assert request(args=K8S_ARGS).pod == Pod("default", "nginx-1", "u")
    assert request().pod is None


def test_addresses_come_from_runtime_config_args_or_cni_args() -> None:
    expected = (ip_address("10.244.0.9"),)
    assert request(runtimeConfig={"ips": ["10.244.0.9/24"]}).conf.addresses == expected
    assert request(args="IP=10.244.0.9").conf.addresses == expected
    both = request(args="", runtimeConfig={"ips": ["fd00::1", "10.244.0.9"]})
    assert both.conf.addresses == (ip_address("10.244.0.9"), ip_address("fd00::1"))


@pytest.mark.parametrize(
    ("changes", "code", "names"),
    [
        ({"cniVersion": "0.2.0"}, 1, "cniVersion"),
        ({"cniVersion": ["1.0.0"]}, 1, "cniVersion"),
        ({"name": "-x"}, 7, "name"),
        ({"name": 5}, 7, "name"),
        ({"mtu": 100}, 7, "mtu"),
        ({"mtu": "1500"}, 7, "mtu"),
        ({"ipam": {"type": "host-local"}}, 2, "ipam.type"),
        ({"ipam": {"subnet": "usePodCidr"}}, 2, "ipam.subnet"),
        ({"ipam": {"assign_ipv4": True}}, 7, "assign_ipv4"),
        ({"ipam": {"assign_ipv4": "false"}}, 7, "assign_ipv4"),
        ({"ipam": {"ipv4_pools": "a"}}, 7, "ipv4_pools"),
        ({"runtimeConfig": {"ips": ["10.0.0.1", "10.0.0.2"]}}, 7, "one per family"),
        ({"runtimeConfig": {"ips": ["nonsense"]}}, 7, "nonsense"),
        ({"runtimeConfig": {"mac": "01:00:00:00:00:00"}}, 7, "mac"),
        ({"policy": {"type": "other"}}, 7, "policy"),
        ({"ipMasq": True}, 2, "ipMasq"),
        ({"num_queues": [4]}, 2, "num_queues"),
        ({"container_settings": {"allow_ip_forwarding": True}}, 2, "allow_ip_forwarding"),
        ({"include_default_routes": False}, 2, "include_default_routes"),
        ({"datastore_type": "kubernetes"}, 2, "datastore_type"),
        ({"prevResult": {"ips": []}}, 7, "prevResult"),
    ],
)
def test_what_is_not_served_is_refused_by_name(
    changes: dict[str, Any], code: int, names: str
) -> None:
    with pytest.raises(CniError, match=names) as refused:
        parse(raw(**changes))
    assert refused.value.code == code


def test_unknown_and_harmless_fields_are_passed_over() -> None:
    served = request(
        log_level="debug", kubernetes={"kubeconfig": "/x"}, capabilities={"ips": True}, novel=[1]
    )
    assert served.conf.families == (4,)


def test_del_needs_only_identity() -> None:
    broken = raw("DEL", ipMasq=True, mtu="x", ipam={"type": "gone"})
    assert parse(replace(broken, args="nonsense")).command is Command.DEL


@pytest.mark.parametrize(
    ("field", "value", "names"),
    [
        ("container_id", "a/b", "CNI_CONTAINERID"),
        ("container_id", "x" * 250, "CNI_CONTAINERID"),
        ("container_id", "", "CNI_CONTAINERID"),
        ("ifname", "a" * 16, "CNI_IFNAME"),
        ("ifname", "..", "CNI_IFNAME"),
        ("ifname", "a/b", "CNI_IFNAME"),
        ("command", "NEW", "CNI_COMMAND"),
        ("args", "x", "CNI_ARGS"),
        ("args", "NEW=1", "CNI_ARGS"),
        ("args", "K8S_POD_NAME=a", "K8S_POD_NAMESPACE"),
        ("args", "K8S_POD_NAME=../x;K8S_POD_NAMESPACE=a", "K8S_POD_NAME"),
    ],
)
def test_a_malformed_environment_is_named(field: str, value: str, names: str) -> None:
    with pytest.raises(CniError, match=names) as refused:
        parse(RawRequest(**{**asdict(raw()), field: value}))
    assert refused.value.code == 4


@pytest.mark.parametrize("stdin", [b"", b"{", b"[]", b"\xff", b"null", b'"x"'])
def test_standard_input_that_is_no_object_is_code_6(stdin: bytes) -> None:
    with pytest.raises(CniError) as refused:
        parse(replace(raw(), stdin=stdin))
    assert refused.value.code == 6


def test_check_needs_a_previous_result_and_a_version_that_has_it() -> None:
    with pytest.raises(CniError) as old:
        request("CHECK", cniVersion="0.3.1", prevResult={})
    with pytest.raises(CniError) as without:
        request("CHECK", cniVersion="0.4.0")
    assert (old.value.code, without.value.code) == (1, 7)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
NAMES = st.sampled_from(
    ["mtu", "ipam", "policy", "args", "dns", "runtimeConfig", "prevResult", "num_queues", "mode"]
)


@given(changes=st.dictionaries(NAMES, JSON, max_size=3), args=st.text(max_size=20))
def test_whatever_comes_is_parsed_or_refused(changes: dict[str, Any], args: str) -> None:
    whole = raw(**changes)
    changed = RawRequest(
        whole.command, whole.container_id, whole.netns, whole.ifname, args, whole.stdin
    )
    with suppress(CniError):
        parse(changed)


def _labelled(labels: list[dict[str, str]]) -> RawRequest:
    document = conf(args={"cni": {"labels": labels}})
    return replace(raw(), stdin=json.dumps(document).encode())


@pytest.mark.parametrize(
    "labels",
    [
        [{"key": "", "value": "x"}],
        [{"key": "a b", "value": "x"}],
        [{"key": "app", "value": "x" * 64}],
        [{"key": "app", "value": "-x"}],
        [{"key": f"k{number}", "value": ""} for number in range(65)],
    ],
)
def test_labels_that_others_could_not_read_are_refused(labels: list[dict[str, str]]) -> None:
    with pytest.raises(BadNetworkConfig, match=r"args\.cni\.labels"):
        parse(_labelled(labels))


def test_labels_as_kubernetes_has_them_are_taken() -> None:
    label = {"key": "app.kubernetes.io/name", "value": "web-1_a.b"}
    parsed = parse(_labelled([label]))
    assert parsed.conf.labels == {"app.kubernetes.io/name": "web-1_a.b"}
