"""The API of an installation in memory: documents by path, merged as the API server merges them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from felix_py.install.api import Document
from felix_py.install.errors import NotYet
from felix_py.runtime.errors import RefusedError


class MemoryDocuments:
    """An install.api.Api. `away` makes every request fail as an API server that restarts."""

    def __init__(self) -> None:
        self.held: dict[str, Document] = {}
        self.away = False
        self.writes: list[str] = []

    def get(self, path: str) -> Document | None:
        """One document, or the list of all below the path."""
        self._check()
        path = path.partition("?")[0]
        if path in self.held:
            return self.held[path]
        below = [each for name, each in self.held.items() if name.startswith(f"{path}/")]
        return {"items": below} if below else None

    def create(self, path: str, document: Document) -> None:
        """Make it; there already: refused."""
        self._check()
        place = f"{path}/{document['metadata']['name']}"
        if place in self.held:
            raise RefusedError(f"POST {path}: 409: already exists")
        self.held[place] = document
        self.writes.append(place)

    def patch(self, path: str, document: Mapping[str, Any]) -> None:
        """Merge."""
        self._check()
        _merge(self.held[path], document)
        self.writes.append(path)

    def _check(self) -> None:
        if self.away:
            raise NotYet("the API server does not answer")


def _merge(into: dict[str, Any], change: Mapping[str, Any]) -> None:
    for name, value in change.items():
        if isinstance(value, Mapping):
            _merge(into.setdefault(name, {}), value)
        else:
            into[name] = value
