"""Which tunnels this node publishes: begun when the senders' set stands, ended when a device falls."""

from __future__ import annotations

from collections.abc import Callable

from felix_py.agent.calc.node_object import Published


class Publication:
    """Called once a round by the loop's thread, after the managers.

    A set of senders that cannot be written for a moment holds back new publications and ends none:
    what is published is used, and to take it back would move every node's traffic.
    """

    def __init__(
        self, standing: Callable[[], Published], senders_stand: Callable[[], bool]
    ) -> None:
        self._standing = standing
        self._senders_stand = senders_stand
        self._said = Published()

    def __call__(self) -> Published:
        """What the Node object should say."""
        standing = self._standing()
        if self._senders_stand():
            self._said = standing
        else:
            said = self._said
            self._said = Published(
                said.ipip if said.ipip == standing.ipip else None,
                {v: end for v, end in said.vxlan.items() if standing.vxlan.get(v) == end},
            )
        return self._said
