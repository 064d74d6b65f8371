"""Pure: which pods have an MTU that is not right any more."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from felix_py.kernel.model import Link
from felix_py.kernel.ownership import LINK_PREFIX
from felix_py.kernel.pod_records import PodRecord

FIX = "felixctl mtu fix"


@dataclass(frozen=True, slots=True)
class Misfit:
    """A pod whose link has another MTU than felix finds right.

    Too large: what it sends at full size does not fit on its way and is lost where nobody may
    fragment it. Too small costs throughput only.
    """

    pod: str
    link: str
    mtu: int
    right: int
    fixed: bool = False
    """Configuration asks for just this MTU; it is left alone."""

    @property
    def too_large(self) -> bool:
        """Whether packets are lost."""
        return self.mtu > self.right

    @property
    def words(self) -> str:
        """The finding, for people."""
        what = f"{self.pod} on {self.link} has MTU {self.mtu}, {self.right} is right"
        if self.fixed:
            return f"{what}; its network or cni.mtu says so: change that and recreate the pod"
        return f"{what}; `{FIX}` sets both ends of its link"


def misfits(
    links: Iterable[Link], right: int, record_of: Callable[[Link], PodRecord | None]
) -> list[Misfit]:
    """Every pod's link that differs, by link; a smaller MTU that configuration fixed is right."""
    return list(_misfits(links, right, record_of))


def _misfits(
    links: Iterable[Link], right: int, record_of: Callable[[Link], PodRecord | None]
) -> Iterator[Misfit]:
    for link in sorted(links, key=lambda link: link.name):
        if not link.name.startswith(LINK_PREFIX) or not link.alias or link.mtu == right:
            continue
        record = record_of(link)
        title = link.alias if record is None else record.title
        fixed = record is not None and record.mtu == link.mtu
        if not fixed or link.mtu > right:
            yield Misfit(title, link.name, link.mtu, right, fixed)
