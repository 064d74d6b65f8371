"""Topology files: YAML to validated values, and the ones that come with the lab."""

from __future__ import annotations

from pathlib import Path

import msgspec
import yaml

from felix_py.lab.errors import LabError
from felix_py.lab.topology import Topology
from felix_py.lab.topology_rules import problems

SHIPPED = Path(__file__).with_name("topologies")


def shipped() -> list[str]:
    """The names of the topologies that come with the lab, the default one first."""
    names = sorted(file.stem for file in SHIPPED.glob("*.yaml"))
    return sorted(names, key=lambda name: name != "default")


def load(name_or_path: str) -> Topology:
    """A shipped topology by its name, or any file. Raises LabError, which names file and field."""
    path = Path(name_or_path)
    if not path.suffix:
        path = SHIPPED / f"{name_or_path}.yaml"
    try:
        text = path.read_text("utf-8")
    except OSError as error:
        known = ", ".join(shipped())
        raise LabError(f"{path}: {error.strerror}; give a file or one of: {known}") from error
    return parse(text, str(path))


def parse(text: str, source: str) -> Topology:
    """YAML to a topology; `source` names it in errors. Raises LabError."""
    try:
        topology = msgspec.convert(yaml.safe_load(text), Topology, dec_hook=_decode)
    except yaml.YAMLError as error:
        raise LabError(f"{source}: not YAML: {error}") from error
    except (msgspec.ValidationError, ValueError) as error:
        raise LabError(f"{source}: {error}") from error
    problem = next(problems(topology), None)
    if problem is not None:
        raise LabError(f"{source}: {problem}")
    return topology


def _decode(kind: type, value: object) -> object:
    """Addresses and prefixes from their text."""
    return kind(str(value))
