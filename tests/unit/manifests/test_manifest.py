"""The manifest: one file from its base, the versions of this product, no privileges but the named ones."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from felix_py.install import configuration, kept_secrets, placement
from felix_py.runtime.version import VERSION

CHECKOUT = Path(__file__).resolve().parents[3]
MANIFESTS = CHECKOUT / "manifests"
Document = dict[str, Any]


def documents() -> list[Document]:
    text = (MANIFESTS / "felix-py.yaml").read_text("utf-8")
    return [each for each in yaml.safe_load_all(text) if each]


def pods() -> Iterator[tuple[str, Document]]:
    for document in documents():
        template = document.get("spec", {}).get("template")
        if template:
            yield document["metadata"]["name"], template["spec"]


def containers() -> Iterator[tuple[str, Document]]:
    for name, spec in pods():
        for each in (*spec.get("initContainers", ()), *spec["containers"]):
            yield f"{name}/{each['name']}", each


def find(kind: str, name: str) -> Document:
    [found] = [
        each for each in documents() if (each["kind"], each["metadata"]["name"]) == (kind, name)
    ]
    return found


def test_the_one_file_is_what_the_base_says() -> None:
    command = [sys.executable, str(CHECKOUT / "scripts/render-manifest"), "--check"]
    subprocess.run(command, check=True, timeout=20)


def test_the_config_map_of_the_manifest_can_be_installed() -> None:
    data = find("ConfigMap", "felix-py-config")["data"]
    read = configuration.parse(data, "ConfigMap felix-py-config")
    assert [document.title for document in read.seeds] == [
        "IPPool(default-ipv4-ippool)",
        "BGPConfiguration(default)",
    ]
    assert read.etcd_names == (find("Service", "felix-py-etcd")["spec"]["clusterIP"],)


def test_every_field_of_the_config_map_has_a_comment_above_it() -> None:
    lines = (MANIFESTS / "felix-py.yaml").read_text("utf-8").splitlines()
    for field in find("ConfigMap", "felix-py-config")["data"]:
        [at] = [index for index, line in enumerate(lines) if line.startswith(f"  {field}:")]
        above = lines[at - 1].lstrip()
        assert above.startswith("#") or field in {"assign_ipv6", "ipv6_address"}, field


@pytest.mark.parametrize(("name", "container"), list(containers()))
def test_every_container_is_without_privileges(name: str, container: Document) -> None:
    context = container["securityContext"]
    assert context["readOnlyRootFilesystem"] is True, name
    assert context["allowPrivilegeEscalation"] is False
    assert context["capabilities"]["drop"] == ["ALL"]
    assert "privileged" not in context
    assert container["imagePullPolicy"] == "IfNotPresent"
    assert container["image"] in {
        f"docker.io/felix-py/felix-py:{VERSION}",
        f"docker.io/felix-py/etcd:{VERSION}",
    }


@pytest.mark.parametrize(("name", "spec"), list(pods()))
def test_every_pod_has_the_runtimes_seccomp_profile_and_no_service_variables(
    name: str, spec: Document
) -> None:
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
    assert spec["enableServiceLinks"] is False, "variables of Services look like our settings"
    assert "hostPID" not in spec
    assert spec["priorityClassName"].startswith("system-")


def test_secrets_are_read_by_name_only_and_nobody_reads_all_of_them() -> None:
    for document in documents():
        for rule in document.get("rules", ()):
            if "secrets" in rule["resources"]:
                assert document["kind"] == "Role"
                assert rule["verbs"] == ["create"] or rule["resourceNames"]
            assert "*" not in (*rule["resources"], *rule["verbs"], *rule["apiGroups"])


def test_the_installation_may_touch_exactly_the_secrets_that_it_makes() -> None:
    rules = find("Role", "felix-py-install")["rules"]
    [named] = [
        set(rule["resourceNames"])
        for rule in rules
        if "secrets" in rule["resources"] and "resourceNames" in rule
    ]
    made = {kept_secrets.AUTHORITY, kept_secrets.SERVER, *kept_secrets.CLIENTS}
    assert named == made


def test_etcd_goes_where_the_installation_puts_it() -> None:
    spec = find("DaemonSet", "felix-py-etcd")["spec"]["template"]["spec"]
    assert spec["nodeSelector"] == {placement.LABEL: ""}
    arguments = spec["containers"][0]["args"]
    assert not [each for each in arguments if "http://" in each and "metrics" not in each]
    assert "--client-cert-auth" in arguments
    assert "--peer-client-cert-auth" in arguments
    assert f"--peer-cert-allowed-cn={kept_secrets.SERVER}" in arguments
