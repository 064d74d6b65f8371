"""Settings of the links that local endpoints stand on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import structlog

from felix_py.agent.calc import endpoint_settings
from felix_py.agent.snapshot import Dirty, Snapshot
from felix_py.kernel.errors import KernelRefused
from felix_py.kernel.link_settings import LinkSettingsDriver
from felix_py.kernel.model import Link, LinkSettings
from felix_py.kernel.port import Kernel

log = structlog.get_logger(__name__)


class LinkManager:
    """Settings of the links that local endpoints stand on; brings them up when somebody did not."""

    def __init__(self, kernel: Kernel, driver: LinkSettingsDriver) -> None:
        self._kernel = kernel
        self._driver = driver
        self._wishes: dict[str, LinkSettings] = {}
        self.failed: dict[str, KernelRefused] = {}

    @property
    def wishes(self) -> Mapping[str, LinkSettings]:
        """What the decisions ask for, by link name."""
        return self._wishes

    def decide(self, dirty: Dirty, snapshot: Snapshot, *, ipv6: bool) -> None:
        """Recompute the dirty links, or all that an endpoint names."""
        names: Iterable[str] = dirty.interfaces
        if dirty.everything:
            names = self._wishes.keys() | snapshot.interfaces.keys()
        for name in list(names):
            wish = endpoint_settings.settings_of(name, snapshot, ipv6=ipv6)
            if wish is None:
                self._wishes.pop(name, None)
            else:
                self._wishes[name] = wish
        self._driver.want(self._wishes)

    def apply(self, links: Sequence[Link], *, sweep: bool) -> bool:
        """Bring the links to what is wanted; False when something is still wrong."""
        self.failed = dict(self._driver.apply(links, sweep=sweep))
        for link in links:
            if link.name in self._wishes and not link.up and link.alias:
                self._bring_up(link)  # without its alias it is still being made, see pod_links.py
        for name, refused in self.failed.items():
            log.warning("link settings refused", link=name, reason=str(refused))
        return not self.failed

    def _bring_up(self, link: Link) -> None:
        try:
            self._kernel.change_link(link.index, up=True)
        except KernelRefused as refused:
            self.failed[link.name] = refused
