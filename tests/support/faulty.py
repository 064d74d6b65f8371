"""A port behind a wrapper that fails, delays and tears what it is told to, once each."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from felix_py.kernel.errors import DumpInterrupted, KernelRefused
from felix_py.kernel.model import (
    MAIN_TABLE,
    Address,
    IPNetwork,
    Link,
    LinkSettings,
    Route,
    RouteChange,
)
from felix_py.kernel.port import Kernel, Monitor

DELAY_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong at the nth call of a method (from 0).

    kind: `refuse` (an errno, nothing done), `lose` (done, but answered with an errno), `half` (only
    the first half is done), `tear` (DumpInterrupted), `delay`.
    """

    method: str
    kind: str
    call: int = 0
    errno: int = 12


@dataclass(slots=True)
class Faulty:
    """Implements port.Kernel by another one; each fault happens once. `happened` tells which did."""

    kernel: Kernel
    faults: list[Fault] = field(default_factory=list)
    happened: list[Fault] = field(default_factory=list)
    calls: dict[str, int] = field(default_factory=dict)

    def _due(self, method: str) -> Fault | None:
        number = self.calls.get(method, 0)
        self.calls[method] = number + 1
        for fault in self.faults:
            if fault.method == method and fault.call == number:
                self.happened.append(fault)
                return fault
        return None

    def _before_read(self, method: str) -> None:
        fault = self._due(method)
        if fault is None:
            return
        if fault.kind == "delay":
            time.sleep(DELAY_SECONDS)
        elif fault.kind == "tear":
            raise DumpInterrupted(method)
        else:
            raise KernelRefused(method, fault.errno)

    def links(self) -> tuple[Link, ...]:
        self._before_read("links")
        return self.kernel.links()

    def addresses(self) -> tuple[Address, ...]:
        self._before_read("addresses")
        return self.kernel.addresses()

    def routes(
        self,
        table: int,
        *,
        protocol: int | None = None,
        passing_over: frozenset[int] = frozenset(),
    ) -> tuple[Route, ...]:
        self._before_read("routes")
        return self.kernel.routes(table, protocol=protocol, passing_over=passing_over)

    def routes_at(self, routes: Sequence[Route]) -> tuple[Route, ...]:
        self._before_read("routes_at")
        return self.kernel.routes_at(routes)

    def routes_to(
        self, prefixes: frozenset[IPNetwork], table: int = MAIN_TABLE
    ) -> tuple[Route, ...]:
        self._before_read("routes_to")
        return self.kernel.routes_to(prefixes, table)

    def change_routes(self, changes: Sequence[RouteChange]) -> tuple[KernelRefused | None, ...]:
        fault = self._due("change_routes")
        if fault is None:
            return self.kernel.change_routes(changes)
        refused = KernelRefused("change_routes", fault.errno)
        if fault.kind == "refuse":
            return tuple(refused for _ in changes)
        if fault.kind == "lose":
            self.kernel.change_routes(changes)
            return tuple(refused for _ in changes)
        if fault.kind == "half":
            middle = len(changes) // 2
            done = self.kernel.change_routes(changes[:middle])
            return (*done, *(refused for _ in changes[middle:]))
        time.sleep(DELAY_SECONDS)
        return self.kernel.change_routes(changes)

    def change_link(
        self,
        index: int,
        *,
        up: bool | None = None,
        mtu: int | None = None,
        settings: LinkSettings | None = None,
    ) -> None:
        self._before_read("change_link")
        self.kernel.change_link(index, up=up, mtu=mtu, settings=settings)

    def read_settings(self, name: str) -> LinkSettings:
        self._before_read("read_settings")
        return self.kernel.read_settings(name)

    def write_settings(self, name: str, settings: LinkSettings) -> None:
        self._before_read("write_settings")
        self.kernel.write_settings(name, settings)

    def watch(self, quiet_protocols: frozenset[int] = frozenset()) -> Monitor:
        self._before_read("watch")
        return self.kernel.watch(quiet_protocols)

    def close(self) -> None:
        self.kernel.close()
