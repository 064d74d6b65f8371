"""What the manifests start is what the images hold."""

from __future__ import annotations

import configparser
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import yaml

from image import build, contents, wheels

MANIFESTS = wheels.CHECKOUT / "manifests"
FELIX, ETCD = f"{build.REGISTRY}/felix-py", f"{build.REGISTRY}/etcd"


def containers(document: Any) -> Iterator[Mapping[str, Any]]:
    """Every container below a document, those that start first among them."""
    if isinstance(document, list):
        for each in document:
            yield from containers(each)
    elif isinstance(document, dict):
        for name, value in document.items():
            if name in ("containers", "initContainers"):
                yield from value
            yield from containers(value)


def programs() -> dict[str, set[str]]:
    """What can be started in each image, by its name."""
    parser = configparser.ConfigParser()
    parser.read_string((wheels.CHECKOUT / "setup.cfg").read_text())
    lines = parser["options.entry_points"]["console_scripts"].split("\n")[1:]
    ours = {line.partition("=")[0].strip() for line in lines} - set(contents.SCRIPTS_LEFT_OUT)
    return {FELIX: ours | {"python3"}, ETCD: {"etcd", "etcdctl"}}


@pytest.mark.parametrize("file", ["felix-py.yaml", "cleanup.yaml", "restore.yaml"])
def test_every_container_starts_a_program_of_its_image_in_this_version(file: str) -> None:
    found = list(containers(list(yaml.safe_load_all((MANIFESTS / file).read_text()))))
    assert found
    for container in found:
        name, _, tag = container["image"].rpartition(":")
        assert tag == build.version(), container["name"]
        assert container["command"][0] in programs()[name], container["name"]
