"""File and environment to frozen settings; what is not known is an error that names itself.

One YAML file per node serves all its daemons: a section per concern, each section a frozen
msgspec struct of the package that it configures. `FELIX_PY_<SECTION>_<FIELD>` (upper case, words
joined by `_`) in the environment wins over the file.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec
import yaml

from felix_py.runtime.errors import RefusedError

DEFAULT_FILE = Path("/etc/felix-py/felix-py.yaml")
PREFIX = "FELIX_PY_"
SECTIONS = frozenset(
    {
        "node",
        "datastore",
        "log",
        "felix",
        "bgp",
        "launcher",
        "install",
        "cni",
        "ctl",
        "kubernetes",
        "controllers",
    }
)
"""Every section that some daemon knows; another daemon's section is passed over."""

S = TypeVar("S", bound=msgspec.Struct)


class BadSettings(RefusedError):
    """The configuration cannot be used; the text names the file, section and field."""


class NodeSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """The `node` section: where this node's daemons keep and find each other's files."""

    name: str = ""
    """This node's name in etcd; empty: the host name in lower case, fixed at first start."""
    run_dir: str = "/run/felix-py"
    """Sockets and status, gone after a reboot."""
    state_dir: str = "/var/lib/felix-py"
    """What must outlive a reboot: the node's name, unsettled DELs."""
    backend: Literal["bgp", "none", "vxlan"] = "bgp"
    """Who brings routes to other nodes: bgp; none (felix, from etcd: direct inside a subnet, by VXLAN or
    IPIP across); vxlan (felix, VXLAN pools alone)."""


def load(settings: type[S], path: Path, environ: Mapping[str, str]) -> S:
    """Settings of this type from the file (absent: empty) and the environment. Raises BadSettings."""
    document = _read(path)
    fields = {field.encode_name: field for field in msgspec.structs.fields(settings)}
    unknown = sorted(set(document) - SECTIONS)
    if unknown:
        known = ", ".join(sorted(SECTIONS))
        raise BadSettings(f"{path}: unknown section {unknown[0]!r}; use one of: {known}")
    mine = {name: dict(document.get(name) or {}) for name in fields}
    for section, name, text in _from_environment(settings, environ):
        mine[section][name] = text
    try:
        return msgspec.convert(mine, settings, strict=False)
    except msgspec.ValidationError as error:
        raise BadSettings(f"{path}: {_plain(error)}") from error


def parse_arguments(settings: type[msgspec.Struct], argv: Sequence[str], about: str) -> Path:
    """The configuration file named on the command line; `--help` lists every field and variable."""
    parser = argparse.ArgumentParser(
        description=about,
        epilog=describe(settings),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--config", type=Path, default=DEFAULT_FILE, help=f"default {DEFAULT_FILE}")
    return Path(parser.parse_args(argv).config)


def describe(settings: type[msgspec.Struct]) -> str:
    """Every field: its place in the file, its environment variable, its type and default."""
    lines = ["configuration (file field / environment variable: type, default):"]
    for section in msgspec.structs.fields(settings):
        for field in msgspec.structs.fields(section.type):
            variable = _variable(section.encode_name, field.encode_name)
            kind = getattr(field.type, "__name__", str(field.type))
            lines.append(
                f"  {section.encode_name}.{field.encode_name} / {variable}: {kind}, {_default(field)}"
            )
    return "\n".join(lines)


def _default(field: msgspec.structs.FieldInfo) -> str:
    if field.default is not msgspec.NODEFAULT:
        return repr(field.default)
    return (
        repr(field.default_factory())
        if field.default_factory is not msgspec.NODEFAULT
        else "required"
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        document = yaml.safe_load(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise BadSettings(f"{path}: cannot be read as YAML: {error}") from error
    if document is None:
        return {}
    if not isinstance(document, dict) or not all(
        isinstance(section, dict) or section is None for section in document.values()
    ):
        raise BadSettings(f"{path}: must be a mapping of sections to mappings")
    return document


def _from_environment(
    settings: type[msgspec.Struct], environ: Mapping[str, str]
) -> list[tuple[str, str, object]]:
    """(section, field, value) for each variable of ours; lists are comma separated."""
    known = {
        _variable(section.encode_name, field.encode_name): (section.encode_name, field)
        for section in msgspec.structs.fields(settings)
        for field in msgspec.structs.fields(section.type)
    }
    mine = {section.encode_name for section in msgspec.structs.fields(settings)}
    others = tuple(f"{PREFIX}{section.upper()}_" for section in SECTIONS - mine)
    found: list[tuple[str, str, object]] = []
    for name in sorted(key for key in environ if key.startswith(PREFIX)):
        if name in known:
            section, field = known[name]
            text = environ[name]
            is_list = "list" in str(field.type) or "tuple" in str(field.type)
            value: object = [part for part in text.split(",") if part] if is_list else text
            found.append((section, field.encode_name, value))
        elif not name.startswith(others):
            raise BadSettings(f"environment: unknown variable {name}; unset it or see --help")
    return found


def _variable(section: str, field: str) -> str:
    words = re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", field)
    return f"{PREFIX}{section}_{words}".upper()


def _plain(error: msgspec.ValidationError) -> str:
    return str(error).replace("`$", "`").replace("`.", "`")
