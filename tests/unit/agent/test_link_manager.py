"""Which links felix brings up again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from felix_py.agent.managers.links import LinkManager
from felix_py.kernel.errors import KernelRefused
from felix_py.kernel.link_settings import LinkSettingsDriver
from felix_py.kernel.model import Link, LinkSettings
from felix_py.kernel.port import Kernel
from tests.unit.agent.builders import cali


class Host:
    """A kernel and a driver that note what is asked of them."""

    def __init__(self) -> None:
        self.brought_up: list[int] = []

    def change_link(self, index: int, *, up: bool) -> None:
        assert up
        self.brought_up.append(index)

    def want(self, wishes: Mapping[str, LinkSettings]) -> None:
        pass

    def apply(self, links: Sequence[Link], *, sweep: bool) -> Mapping[str, KernelRefused]:
        assert links or sweep
        return {}


def _brought_up(*links: Link) -> list[int]:
    host = Host()
    manager = LinkManager(cast("Kernel", host), cast("LinkSettingsDriver", host))
    manager._wishes = {link.name: LinkSettings() for link in links}
    assert manager.apply(links, sweep=False)
    return host.brought_up


def test_a_pods_link_that_somebody_took_down_comes_up_again() -> None:
    assert _brought_up(cali(index=5, up=False)) == [5]


def test_a_link_that_is_still_being_made_is_left_to_its_maker() -> None:
    assert _brought_up(cali(index=5, alias="", up=False)) == []
