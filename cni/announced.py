"""Pure: whether this node's first announcement is out, by what the bgp agent says of itself.

Until then a pod's packets would find no way back, so the runtime is not told of the network.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def missing(status: Mapping[str, Any] | None) -> str | None:
    """What the announcement waits for; None: somebody heard all of it, or nobody is there to hear it."""
    if status is None:
        return "the bgp agent has not reported yet"
    store, exabgp = _mapping(status.get("store")), _mapping(status.get("exabgp"))
    if store.get("inSync") is not True:
        return "the bgp agent has not read etcd yet"
    if exabgp.get("problem"):
        return f"ExaBGP: {exabgp['problem']}"
    sessions = _sessions(status)
    if not sessions:
        return None
    up = [session for session in sessions if session.get("state") == "up"]
    if not up:
        return "no BGP session is up yet"
    waiting = [session for session in up if session.get("announcedAll") is not True]
    return f"peer {waiting[0].get('peer')} has not been told everything yet" if waiting else None


def incomplete(status: Mapping[str, Any] | None) -> str | None:
    """What may still come although nothing is missing: a peer that is down may be down for good.

    No peer at all is also what is seen while a new cluster's Nodes are still being written.
    """
    sessions = _sessions(status or {})
    down = [session for session in sessions if session.get("state") != "up"]
    if down:
        return f"the session with {down[0].get('peer')} is not up yet"
    return None if sessions else "no peer is known yet"


def _sessions(status: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    listed = status.get("sessions")
    return [_mapping(each) for each in listed] if isinstance(listed, list) else []


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
