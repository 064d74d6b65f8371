"""`felixctl convert`: files of Calico's API v1 as files of v3."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from felix_py.ctl import output, yaml_text
from felix_py.ctl.calc.convert import convert as converted
from felix_py.ctl.calc.convert_rules import ConvertError
from felix_py.ctl.documents import of_mapping, texts
from felix_py.ctl.errors import CommandError
from felix_py.ctl.writer import check
from felix_py.datastore.codec_documents import API_VERSION


def convert(files: Sequence[str], form: str, *, validate: bool = True) -> None:
    """Print every document of the files as v3 has it. Raises CommandError."""
    made = [_converted(raw, source) for source, raw in _documents(files)]
    if not made:
        raise CommandError(f"{', '.join(files)}: no resources in there")
    for each in made if validate else ():
        check(of_mapping(each, "converted"))
    if form == "json":
        listing = {"kind": "List", "apiVersion": API_VERSION, "items": made}
        sys.stdout.write(output.json_text(made[0] if len(made) == 1 else listing))
    else:
        sys.stdout.write("---\n".join(yaml_text.render(each) for each in made))


def _converted(raw: Mapping[str, Any], source: str) -> dict[str, Any]:
    try:
        return converted(raw)
    except ConvertError as error:
        raise CommandError(f"{source}: {error}") from None


def _documents(files: Sequence[str]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Documents, and those of lists, which v1 wrote as YAML lists."""
    for source, text in texts(files):
        for document in yaml_text.parse_all(text, source):
            for each in _flat(document):
                if not isinstance(each, Mapping):
                    raise CommandError(
                        f"{source}: a document is not a mapping; write kind, metadata, spec"
                    )
                yield source, each


def _flat(document: object) -> Iterator[object]:
    if isinstance(document, Mapping) and isinstance(document.get("items"), list):
        document = document["items"]
    if isinstance(document, list):
        yield from document
    elif document is not None:
        yield document
