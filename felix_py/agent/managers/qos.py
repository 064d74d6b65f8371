"""Per-pod traffic controls: buckets on links, packet rates, connections and DSCP in nftables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from felix_py.agent.calc.conflicts import winner
from felix_py.agent.calc.qos_rules import pieces_of
from felix_py.agent.calc.shaping import shaping_of
from felix_py.agent.snapshot import Dirty, Snapshot
from felix_py.datastore.model import Invalid, IPNetwork
from felix_py.datastore.qos import QosControls
from felix_py.kernel.model import Link
from felix_py.kernel.nft_pieces_table import PiecesTable
from felix_py.kernel.traffic_control import TrafficControl


class QosManager:
    """Implements managers.manager.Manager. A host link is limited as the endpoint that owns it says."""

    name = "qos"

    def __init__(self, links: TrafficControl, table: PiecesTable) -> None:
        self._links, self._table = links, table
        self._controls: dict[str, QosControls] = {}
        self._invalid: dict[str, str] = {}
        self._pools: tuple[IPNetwork, ...] = ()

    def decide(self, dirty: Dirty, snapshot: Snapshot) -> None:
        """The dirty links' endpoints as they are now, or all."""
        names: Iterable[str] = dirty.interfaces
        if dirty.everything:
            names = self._controls.keys() | self._invalid.keys() | snapshot.interfaces.keys()
        if dirty.everything or dirty.nodes:
            self._pools = tuple(pool.cidr for pool in snapshot.pools.values())
        elif not names:
            return
        for name in list(names):
            self._decide_one(name, snapshot)
        self._links.want({name: shaping_of(each) for name, each in self._controls.items()})
        self._table.want(pieces_of(self._controls, self._pools))

    def apply(self, now: float, links: Sequence[Link], *, sweep: bool) -> bool:  # noqa: ARG002
        """Links first: a pod that is limited in both ways is slowed before it is cut short."""
        well = self._links.apply(links, sweep=sweep)
        return self._table.apply(sweep=sweep) and well

    def report(self) -> Mapping[str, object]:
        """How many links are limited, and what is not as wanted."""
        return {
            "limited": len(self._controls),
            "failed": [
                {"link": link, "reason": reason}
                for link, reason in sorted(self._links.failed.items())
            ],
            "table": self._table.failure,
        }

    def warnings(self) -> Sequence[str]:
        """Controls that cannot be read, and those that the kernel does not keep."""
        found = [f"{each}; its pod is not limited" for each in sorted(self._invalid.values())]
        found += [
            f"{link} is not limited as its endpoint says: {reason}"
            for link, reason in sorted(self._links.failed.items())
        ]
        if self._table.failure is not None:
            found.append(
                f"packet rates, connections and DSCP are not limited: {self._table.failure}"
            )
        return found

    def _decide_one(self, name: str, snapshot: Snapshot) -> None:
        self._controls.pop(name, None)
        self._invalid.pop(name, None)
        claim = winner(snapshot.interfaces.get(name, {}).values(), snapshot.links)
        qos = None if claim is None else claim.endpoint.qos
        if isinstance(qos, QosControls):
            self._controls[name] = qos
        elif isinstance(qos, Invalid):
            assert claim is not None, "controls are an endpoint's"
            self._invalid[name] = f"{claim.key.name}: {qos.reason}"
