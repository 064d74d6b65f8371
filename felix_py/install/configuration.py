"""The ConfigMap that people edit, checked and typed. Pure. Every error names the field."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

import yaml

from felix_py.ctl.documents import Document, of_mapping
from felix_py.ctl.writer import check
from felix_py.datastore.codec_documents import API_VERSION
from felix_py.install.errors import BadConfiguration
from felix_py.runtime.errors import RefusedError

POOLS, PEERS, BGP, FELIX = "pools", "bgp_peers", "bgp_configuration", "felix_configuration"
ENDPOINTS, ETCD_NODES = "etcd_endpoints", "etcd_nodes"
AS_NUMBER, MESH = "as_number", "node_mesh"
NODE_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
MAX_AS = 2**32 - 1
SWITCHES = {"true": True, "false": False}


@dataclass(frozen=True, slots=True)
class Configuration:
    """etcd_names: hosts by which daemons reach etcd; etcd_nodes: empty: the first control plane."""

    etcd_names: tuple[str, ...]
    etcd_nodes: tuple[str, ...]
    seeds: tuple[Document, ...]


def parse(data: Mapping[str, str], source: str) -> Configuration:
    """All that the installation reads of the ConfigMap. Raises BadConfiguration."""
    return Configuration(
        etcd_names=_endpoint_names(data.get(ENDPOINTS, ""), source),
        etcd_nodes=_nodes(data.get(ETCD_NODES, ""), source),
        seeds=(
            *_listed(data, POOLS, "IPPool", source),
            *_bgp(data, source),
            *_listed(data, PEERS, "BGPPeer", source),
            *_single(data, FELIX, "FelixConfiguration", source),
        ),
    )


def _endpoint_names(text: str, source: str) -> tuple[str, ...]:
    urls = [part.strip() for part in text.split(",") if part.strip()]
    if not urls:
        raise _bad(source, ENDPOINTS, "is empty; write https://ADDRESS:PORT, several with commas")
    names = []
    for text_url in urls:
        url = urlsplit(text_url)
        if url.scheme not in {"https", "http"} or not url.hostname or url.path not in {"", "/"}:
            raise _bad(source, ENDPOINTS, f"{text_url!r} is not a URL; write https://10.0.0.1:2379")
        names.append(url.hostname)
    return tuple(names)


def _nodes(text: str, source: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(re.split(r"[\s,]+", text.strip()))) if text.strip() else ()
    for name in names:
        if not NODE_NAME.fullmatch(name):
            raise _bad(source, ETCD_NODES, f"{name!r} is not a node's name")
    if len(names) not in {0, 1, 3, 5}:
        raise _bad(source, ETCD_NODES, f"names {len(names)} nodes; etcd wants one, three or five")
    return names


def _bgp(data: Mapping[str, str], source: str) -> list[Document]:
    """The default BGPConfiguration: AS number, mesh, and more fields of its spec."""
    spec: dict[str, Any] = dict(_mapping(data, BGP, source))
    for own, field in ((AS_NUMBER, "asNumber"), (MESH, "nodeToNodeMeshEnabled")):
        if field in spec:
            raise _bad(source, BGP, f"{field} is the field {own} of the ConfigMap; remove it here")
    number = data.get(AS_NUMBER, "").strip()
    if number:
        if not number.isdigit() or not 0 < int(number) <= MAX_AS:
            raise _bad(source, AS_NUMBER, f"{number!r} is not a number from 1 to {MAX_AS}")
        spec["asNumber"] = int(number)
    mesh = data.get(MESH, "true").strip().lower()
    if mesh not in SWITCHES:
        raise _bad(source, MESH, f"{mesh!r} is neither true nor false")
    spec["nodeToNodeMeshEnabled"] = SWITCHES[mesh]
    return [_document("BGPConfiguration", "default", spec, source, BGP)]


def _single(data: Mapping[str, str], field: str, kind: str, source: str) -> list[Document]:
    spec = _mapping(data, field, source)
    return [_document(kind, "default", spec, source, field)] if spec else []


def _listed(data: Mapping[str, str], field: str, kind: str, source: str) -> list[Document]:
    """A YAML list of specs, each with a name beside the spec's fields."""
    items = _yaml(data, field, source)
    items = [] if items is None else items
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise _bad(source, field, "must be a YAML list of mappings")
    found: dict[str, Document] = {}
    for at, item in enumerate(items, 1):
        spec = dict(item)
        name = spec.pop("name", None)
        if not isinstance(name, str) or not name:
            raise _bad(source, field, f"entry {at} has no name")
        if name in found:
            raise _bad(source, field, f"{name!r} is there twice")
        found[name] = _document(kind, name, spec, source, field)
    return list(found.values())


def _document(kind: str, name: str, spec: Mapping[str, Any], source: str, field: str) -> Document:
    raw = {"kind": kind, "apiVersion": API_VERSION, "metadata": {"name": name}, "spec": dict(spec)}
    try:
        document = of_mapping(raw, field)
        check(document)
    except RefusedError as error:
        raise _bad(source, field, str(error).removeprefix(f"{field}: ")) from error
    return document


def _mapping(data: Mapping[str, str], field: str, source: str) -> Mapping[str, Any]:
    found = _yaml(data, field, source)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise _bad(source, field, "must be a YAML mapping")
    return found


def _yaml(data: Mapping[str, str], field: str, source: str) -> object:
    try:
        return yaml.safe_load(data.get(field, ""))
    except yaml.YAMLError as error:
        problem = " ".join(str(error).split())
        raise _bad(source, field, f"is not YAML: {problem}") from error


def _bad(source: str, field: str, problem: str) -> BadConfiguration:
    return BadConfiguration(f"{source}, field {field}: {problem}")


def is_address(name: str) -> bool:
    """Whether a host is an address, not a name."""
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
