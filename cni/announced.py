"""Pure: whether this node's first announcement is out, by what the bgp agent says of itself.

Until then a pod's packets would find no way back, so the runtime is not told of the network.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def missing(status: Mapping[str, Any] | None) -> str | None:
    """What the announcement waits for; None: it is out, or there is nobody to announce to.

    A peer that is down is not waited for while another one has heard everything.
    """
    if status is None:
        return "the bgp agent has not reported yet"
    store, exabgp = _mapping(status.get("store")), _mapping(status.get("exabgp"))
    if store.get("inSync") is not True:
        return "the bgp agent has not read etcd yet"
    if exabgp.get("problem"):
        return f"ExaBGP: {exabgp['problem']}"
    listed = status.get("sessions")
    sessions = [_mapping(each) for each in listed] if isinstance(listed, list) else []
    if not sessions:
        return None
    up = [session for session in sessions if session.get("state") == "up"]
    if not up:
        return "no BGP session is up yet"
    waiting = [
        str(session.get("peer")) for session in up if session.get("announcedAll") is not True
    ]
    return f"peer {waiting[0]} has not been told everything yet" if waiting else None


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
