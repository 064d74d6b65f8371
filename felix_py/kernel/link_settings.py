"""Driver: keeps the settings of links as wished, and puts them right when somebody changed them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace

import structlog

from felix_py.kernel.errors import KernelRefused
from felix_py.kernel.model import Link, LinkSettings
from felix_py.kernel.port import Kernel

log = structlog.get_logger(__name__)

BY_NETLINK = frozenset({"forwarding4", "proxy_arp", "rp_filter"})
"""Written with one message; the others are files."""


class LinkSettingsDriver:
    """Compares what was wished with what the list of links tells; writes only what differs.

    Things that this class is shaped by:
    - netlink announces changes of forwarding, proxy_arp and rp_filter; route_localnet is in the
      list but its changes are not announced, and proxy_delay is not even listed: a sweep (now and
      then) reads the files of every wished link;
    - a link that came back with the same name is a new one (new index) with default settings;
    - writing a value that stands is not free: the kernel goes over every link and route.
    """

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._wishes: dict[str, LinkSettings] = {}
        self._swept: dict[int, LinkSettings] = {}
        """By link index: the wishes with which its files were last read and found or put right."""

    def want(self, wishes: Mapping[str, LinkSettings]) -> None:
        """What each link, by name, should have; None fields are left alone. Replaces all wishes."""
        self._wishes = dict(wishes)

    def apply(self, links: Sequence[Link], *, sweep: bool) -> Mapping[str, KernelRefused]:
        """Put right what differs; what is still wrong, by link name: try again later.

        A wished link that is not in the list is no fault: its turn comes when it is there. A link
        seen for the first time is swept anyway.
        """
        refused: dict[str, KernelRefused] = {}
        changed = 0
        mine = [link for link in links if link.name in self._wishes]
        for link in mine:
            try:
                changed += self._put_right(link, self._wishes[link.name], sweep=sweep)
            except KernelRefused as error:
                self._swept.pop(link.index, None)
                refused[link.name] = error
        present = {link.index for link in mine}
        self._swept = {index: wish for index, wish in self._swept.items() if index in present}
        if changed or refused:
            log.info("link settings applied", changed=changed, refused=len(refused))
        return refused

    def _put_right(self, link: Link, wish: LinkSettings, *, sweep: bool) -> bool:
        """Write what differs on one link; whether anything did. Raises KernelRefused."""
        present = link.settings
        if sweep or self._swept.get(link.index) != wish:
            present = self._kernel.read_settings(link.name)
        wrong = _differing(wish, present)
        by_netlink = {name: value for name, value in wrong.items() if name in BY_NETLINK}
        by_file = {name: value for name, value in wrong.items() if name not in BY_NETLINK}
        if by_netlink:
            self._kernel.change_link(link.index, settings=_settings(by_netlink))
        if by_file:
            self._kernel.write_settings(link.name, _settings(by_file))
        self._swept[link.index] = wish
        return bool(wrong)


def _differing(wish: LinkSettings, present: LinkSettings) -> dict[str, bool | int]:
    """The wished fields whose present value is known and another one.

    Unknown are the files of a family that the kernel has not got, and what a list does not tell.
    """
    found: dict[str, bool | int] = {}
    for field in fields(LinkSettings):
        wanted, seen = getattr(wish, field.name), getattr(present, field.name)
        if wanted is not None and seen is not None and wanted != seen:
            found[field.name] = wanted
    return found


def _settings(values: Mapping[str, bool | int]) -> LinkSettings:
    return replace(LinkSettings(), **values)  # type: ignore[arg-type]  # names come from its fields
