"""What kubectl makes of the base and the overlays: no cluster is needed, only the programs."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from felix_py.install import configuration
from tests.support.installed import MANIFESTS, kustomized, the_file

OVERLAYS = MANIFESTS / "overlays"
Objects = dict[tuple[str, str], dict[str, Any]]


def objects(text: str) -> Objects:
    found = [each for each in yaml.safe_load_all(text) if each]
    return {(each["kind"], each["metadata"]["name"]): each for each in found}


def test_the_one_file_has_the_objects_that_kustomize_makes_of_the_base() -> None:
    assert objects(kustomized(MANIFESTS / "base")) == objects(the_file())


@pytest.mark.parametrize("name", sorted(path.name for path in OVERLAYS.iterdir()))
def test_the_config_map_of_every_overlay_can_be_installed(name: str) -> None:
    made = objects(kustomized(OVERLAYS / name))
    data = made[("ConfigMap", "felix-py-config")]["data"]
    assert configuration.parse(data, name).seeds
    assert (("DaemonSet", "felix-py-etcd") in made) is (not name.startswith("existing"))


def test_with_passwords_nobody_names_a_certificate() -> None:
    made = objects(kustomized(OVERLAYS / "existing-etcd-password"))
    readers = 0
    for each in made.values():
        for container in (
            each.get("spec", {}).get("template", {}).get("spec", {}).get("containers", ())
        ):
            env = {one["name"]: one for one in container.get("env", ())}
            if "FELIX_PY_DATASTORE_ENDPOINTS" in env:
                readers += 1
                assert env["FELIX_PY_DATASTORE_CERT_FILE"]["value"] == ""
                assert "FELIX_PY_DATASTORE_USERNAME" in env
    assert readers >= 5
