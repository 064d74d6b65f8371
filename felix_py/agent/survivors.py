"""Pods that live on this node although etcd has no endpoint on their link: their routes are kept.

A store that was restored or wiped, and then accepted by an operator, does not know the pods that were
made since. Until the CNI server has registered them again they are known by their link and its record
alone, whatever happened before: the same links and records give the same answer to a fresh process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from felix_py.datastore.model import IPNetwork
from felix_py.kernel.model import Link
from felix_py.kernel.pod_records import PodRecord

LASTING_SECONDS = 5.0
"""A pod that is being made stands on its link a moment before we hear of its endpoint; only what stays
unknown for longer is told to people."""


@dataclass(frozen=True, slots=True)
class Survivor:
    """A pod's link without an endpoint, as its record tells."""

    link: str
    title: str
    networks: tuple[IPNetwork, ...]
    since: float


class Survivors:
    """Reads the record of a link once, when it is first seen without an endpoint."""

    def __init__(self, record_of: Callable[[Link], PodRecord | None]) -> None:
        self._record_of = record_of
        self._known: dict[tuple[str, int, str], Survivor | None] = {}

    def find(self, links: Iterable[Link], now: float) -> Mapping[IPNetwork, Survivor]:
        """The survivors among links on which no endpoint stands, by their addresses."""
        present = {(link.name, link.index, link.alias): link for link in links}
        self._known = {
            identity: (self._known[identity] if identity in self._known else self._read(link, now))
            for identity, link in present.items()
        }
        return {
            network: survivor
            for survivor in self._known.values()
            if survivor is not None
            for network in survivor.networks
        }

    def _read(self, link: Link, now: float) -> Survivor | None:
        record = self._record_of(link)
        return None if record is None else Survivor(link.name, record.title, record.networks, now)


def lasting(survivors: Mapping[IPNetwork, Survivor], now: float) -> list[Survivor]:
    """Those that people should hear of, by link."""
    found = {each.link: each for each in survivors.values() if now - each.since >= LASTING_SECONDS}
    return [found[link] for link in sorted(found)]
