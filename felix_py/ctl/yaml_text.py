"""YAML in and out the way Kubernetes tools mean it: scalars of YAML 1.2's core schema.

PyYAML follows YAML 1.1, where the community 64512:10 is a number to the base of 60 and a
creationTimestamp a date; neither is what people write in Calico's YAML.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml

from felix_py.ctl.errors import CommandError


class _Loader(yaml.SafeLoader):
    """SafeLoader with YAML 1.2's scalars and no others."""

    yaml_implicit_resolvers = {}  # noqa: RUF012  PyYAML's own way of saying it


for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"-?(?:0|[1-9][0-9]*)", "-0123456789"),
    ("float", r"-?(?:0|[1-9][0-9]*)\.[0-9]+(?:[eE][-+]?[0-9]+)?", "-0123456789"),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("merge", r"<<", "<"),
):
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), list(_first)
    )


def parse(text: str, source: str) -> Iterator[dict[str, Any]]:
    """Every document of a YAML (or JSON) text that is not empty. Raises CommandError."""
    try:
        for document in yaml.load_all(text, Loader=_Loader):
            if document is None:
                continue
            if not isinstance(document, dict):
                raise CommandError(
                    f"{source}: a document is not a mapping; write kind, metadata, spec"
                )
            yield document
    except yaml.YAMLError as error:
        raise CommandError(f"{source}: not YAML: {' '.join(str(error).split())}") from None
    except (RecursionError, ValueError) as error:
        raise CommandError(f"{source}: not usable YAML: {error}") from None


def parse_one(text: str, source: str) -> object:
    """The one document of a text, of any type. Raises CommandError."""
    documents = parse_all(text, source)
    if len(documents) != 1:
        raise CommandError(f"{source}: {len(documents)} documents where one is wanted")
    return documents[0]


def parse_all(text: str, source: str) -> list[object]:
    """Every document of a text, of any type. Raises CommandError."""
    try:
        return list(yaml.load_all(text, Loader=_Loader))
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise CommandError(f"{source}: not YAML or JSON: {' '.join(str(error).split())}") from None


def render(document: object) -> str:
    """YAML text with the order of fields kept."""
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, default_flow_style=False)
