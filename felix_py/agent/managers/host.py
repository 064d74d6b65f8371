"""The switches of the whole host: forwarding, and what must come before it for IPv6."""

from __future__ import annotations

import structlog

from felix_py.agent.calc import endpoint_settings
from felix_py.agent.snapshot import Snapshot
from felix_py.kernel.errors import KernelRefused
from felix_py.kernel.model import MAIN_TABLE, Link, LinkSettings
from felix_py.kernel.ownership import BGP, FELIX
from felix_py.kernel.port import Kernel

log = structlog.get_logger(__name__)

OURS = frozenset({FELIX.route_protocol, BGP.route_protocol})


class HostManager:
    """The switches of the whole host: forwarding, and what must come before it for IPv6."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._links: tuple[Link, ...] = ()
        self._judged: frozenset[Link] = frozenset()
        self.ipv6 = kernel.read_settings("all").forwarding6 is not None
        self.failed: str | None = None

    def set_links(self, links: tuple[Link, ...]) -> None:
        """The host's links as listed just now."""
        self._links = links

    def apply(self, snapshot: Snapshot) -> bool:
        """Put forwarding right; reads a few files when all is well. False when refused."""
        wish = endpoint_settings.host_settings(snapshot)
        if not self.ipv6:
            wish = LinkSettings(forwarding4=wish.forwarding4)
        try:
            present = self._kernel.read_settings("all")
            missing = LinkSettings(
                forwarding4=_unless(present.forwarding4, wish.forwarding4),
                forwarding6=_unless(present.forwarding6, wish.forwarding6),
            )
            if wish.forwarding6:
                self._keep_advertised_routes()
            if missing != LinkSettings():
                self._kernel.write_settings("all", missing)
                log.info("host settings corrected", settings=str(missing))
        except KernelRefused as refused:
            self.failed = str(refused)
            log.warning("host settings refused", reason=self.failed)
            return False
        self.failed = None
        return True

    def _keep_advertised_routes(self) -> None:
        """Before forwarding is on, and again when another link takes advertisements."""
        asked = endpoint_settings.may_live_on_advertisements(self._links)
        if self._judged == frozenset(asked):
            return
        routes = self._kernel.routes(MAIN_TABLE, passing_over=OURS)
        for name in endpoint_settings.uplinks_on_advertisements(asked, routes):
            self._kernel.write_settings(name, LinkSettings(accept_ra=2))
            log.info("uplink keeps its advertised routes", link=name)
        self._judged = frozenset(asked)


def _unless(present: bool | None, wished: bool | None) -> bool | None:  # noqa: FBT001
    return None if present == wished else wished
