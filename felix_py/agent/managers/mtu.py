"""How large packets may be: told to the CNI server, and which pods have another size."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import structlog

from felix_py.agent.calc import mtu
from felix_py.agent.calc.pod_mtu import FIX, Misfit, misfits
from felix_py.agent.snapshot import Dirty, Snapshot
from felix_py.datastore.felix_configuration import FelixConfiguration
from felix_py.datastore.model import IPPool
from felix_py.kernel.model import Link
from felix_py.kernel.pod_records import PodRecord

log = structlog.get_logger(__name__)

MAX_NAMED = 50
"""Pods that are named; the count is always complete."""


class MtuManager:
    """Implements managers.manager.Manager. Changes no pod: a running pod's MTU is its operator's matter."""

    name = "mtu"

    def __init__(
        self, write: Callable[[int], bool], record_of: Callable[[Link], PodRecord | None]
    ) -> None:
        self._write, self._read = write, record_of
        self._records: dict[tuple[str, int, str], PodRecord | None] = {}
        self._pools: tuple[IPPool, ...] = ()
        self._configuration = FelixConfiguration()
        self._links: Sequence[Link] | None = None
        self._found: mtu.Mtu | None = None
        self._misfits: list[Misfit] = []
        self._failed: str | None = None

    def decide(self, dirty: Dirty, snapshot: Snapshot) -> None:
        """Pools and configuration as they are now."""
        if dirty.everything or dirty.nodes:
            self._pools = tuple(snapshot.pools.values())
            self._configuration = snapshot.configuration
            self._links = None

    def apply(self, now: float, links: Sequence[Link], *, sweep: bool) -> bool:  # noqa: ARG002
        """Decide again when links were listed again; write the file when it says something else."""
        if links is not self._links or self._found is None:
            self._links = links
            self._found = mtu.decide(links, self._pools, self._configuration)
            self._misfits = misfits(links, self._found.pod, self._record_of)
            self._keep_records_of(links)
        elif not sweep and self._failed is None:
            return True
        return self._put(self._found.pod)

    def report(self) -> Mapping[str, object]:
        """Its part of the status document."""
        found = self._found
        if found is None:
            return {}
        return {
            "host": found.host,
            "pod": found.pod,
            "tunnels": {kind.value: found.tunnels[kind] for kind in _sorted(found.enabled)},
            "differing": len(self._misfits),
            "pods": [_as_json(misfit) for misfit in self._misfits[:MAX_NAMED]],
        }

    def warnings(self) -> Sequence[str]:
        """No uplink found, a file that cannot be written, pods that lose packets."""
        found: list[str] = []
        if self._found is not None and not self._found.host_is_known:
            found.append(
                f"no link that is up matches mtuIfacePattern; its MTU is taken as {self._found.host}"
            )
        if self._failed is not None:
            found.append(f"new pods' MTU cannot be written for the CNI server: {self._failed}")
        large = [misfit for misfit in self._misfits if misfit.too_large]
        found += [misfit.words for misfit in large[:MAX_NAMED]]
        if len(large) > MAX_NAMED:
            found.append(f"{len(large) - MAX_NAMED} more pods are too large; see `{FIX}`")
        return found

    def _put(self, pod: int) -> bool:
        try:
            if self._write(pod):
                log.info("pods' MTU", mtu=pod)
        except OSError as error:
            self._failed = str(error)
            log.warning("pods' MTU not written", reason=self._failed)
            return False
        self._failed = None
        return True

    def _record_of(self, link: Link) -> PodRecord | None:
        """A record is replaced only with its link, so it is read once; one not there yet, again."""
        key = (link.name, link.index, link.alias)
        if self._records.get(key) is None:
            self._records[key] = self._read(link)
        return self._records[key]

    def _keep_records_of(self, links: Sequence[Link]) -> None:
        if self._records:
            present = {(link.name, link.index, link.alias) for link in links}
            self._records = {key: each for key, each in self._records.items() if key in present}


def _sorted(kinds: Iterable[mtu.Encapsulation]) -> list[mtu.Encapsulation]:
    return sorted(kinds, key=lambda kind: kind.value)


def _as_json(misfit: Misfit) -> dict[str, object]:
    return {
        "pod": misfit.pod,
        "link": misfit.link,
        "mtu": misfit.mtu,
        "right": misfit.right,
        "fixed": misfit.fixed,
    }
