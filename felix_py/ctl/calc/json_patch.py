"""Patches of JSON documents: merge patches (RFC 7396) and lists of operations (RFC 6902). Pure."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from felix_py.runtime.errors import RefusedError

MAX_OPERATIONS = 1000


class PatchError(RefusedError):
    """The patch cannot be done; names the operation and why."""


def merge_patch(document: object, patch: object) -> object:
    """The document with the patch's fields; null removes, lists are replaced."""
    if not isinstance(patch, Mapping):
        return patch
    result: dict[str, Any] = dict(document) if isinstance(document, Mapping) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merge_patch(result.get(name), value)
    return result


def operate(document: object, operations: object) -> object:
    """The document after all operations, or none. Raises PatchError."""
    if not isinstance(operations, list) or len(operations) > MAX_OPERATIONS:
        raise PatchError(f"a JSON patch is a list of at most {MAX_OPERATIONS} operations")
    result = copy.deepcopy(document)
    for number, operation in enumerate(operations):
        if not isinstance(operation, Mapping):
            raise PatchError(f"operation {number} is not a mapping with op, path and value")
        try:
            result = _one(result, operation)
        except (KeyError, IndexError, TypeError, ValueError):
            text = f"{operation.get('op')} {operation.get('path')}"
            raise PatchError(f"operation {number} ({text}): no such place") from None
    return result


def _one(document: object, operation: Mapping[str, Any]) -> object:
    path = _steps(operation["path"])
    match operation.get("op"):
        case "add":
            return _put(document, path, operation["value"])
        case "remove":
            return _taken(document, path)
        case "replace":
            _at(document, path)
            return _put(_taken(document, path), path, operation["value"])
        case "copy":
            return _put(document, path, copy.deepcopy(_at(document, _steps(operation["from"]))))
        case "move":
            source = _steps(operation["from"])
            value = _at(document, source)
            return _put(_taken(document, source), path, value)
        case "test":
            if _at(document, path) != operation["value"]:
                raise PatchError(f"test {operation['path']}: it is not {operation['value']!r}")
            return document
        case other:
            raise PatchError(f"op {other!r}: write add, remove, replace, move, copy or test")


def _steps(pointer: object) -> list[str]:
    """A JSON pointer's parts (RFC 6901)."""
    if not isinstance(pointer, str) or (pointer and not pointer.startswith("/")):
        raise PatchError(f"{pointer!r} is not a path; write /spec/field")
    return [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]


def _at(document: Any, path: list[str]) -> Any:  # noqa: ANN401  JSON is of any type
    for step in path:
        document = document[_index(step)] if isinstance(document, list) else document[step]
    return document


def _put(document: object, path: list[str], value: object) -> object:
    if not path:
        return value
    parent = _at(document, path[:-1])
    if isinstance(parent, list):
        place = len(parent) if path[-1] == "-" else _index(path[-1])
        if place > len(parent):
            raise IndexError(place)
        parent.insert(place, value)
    else:
        parent[path[-1]] = value
    return document


def _taken(document: object, path: list[str]) -> object:
    if not path:
        return None
    parent = _at(document, path[:-1])
    del parent[_index(path[-1]) if isinstance(parent, list) else path[-1]]
    return document


def _index(step: str) -> int:
    if not step.isascii() or not step.isdigit():
        raise ValueError(step)
    return int(step)
