"""Pure: which objects concern a node, told before they are decoded.

Every node hears of every endpoint and block of its cluster. At thousands of nodes decoding all of
them, to drop all but a few, is most of a daemon's memory and time at start.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from felix_py.datastore.keys import BlockKey, Key, ResourceKey
from felix_py.datastore.model import Kind, NodeName

Concerns = Callable[[Key, bytes], bool]
"""Whether a daemon wants to know of this key with this value."""

HOST = "host:"


class _Owner(msgspec.Struct):
    affinity: str | None = None


def everything(key: Key, raw: bytes) -> bool:
    """For who wants all that lies under its prefixes."""
    del key, raw
    return True


def of_node(me: NodeName) -> Concerns:
    """All but what is another node's: endpoints by their names, blocks by their affinity.

    What cannot be read is kept, because somebody has to report it.
    """
    begin = f"{me.replace('-', '--')}-"
    mine = f"{HOST}{me}"

    def concerns(key: Key, raw: bytes) -> bool:
        match key:
            case ResourceKey(kind=Kind.WORKLOAD_ENDPOINT, name=name):
                return _is_named_for(name, begin)
            case BlockKey():
                return _affinity(raw, mine) == mine
            case _:
                return True

    return concerns


def _is_named_for(name: str, begin: str) -> bool:
    """Calico refuses an endpoint whose name is not `<node>-<orchestrator>-...`, dashes inside of a part
    doubled and none at its ends: after node `a` comes a single dash, after `a` of `a-b` a double one."""
    return name.startswith(begin) and not name.startswith("-", len(begin))


def _affinity(raw: bytes, unreadable: str) -> str | None:
    try:
        return msgspec.json.decode(raw, type=_Owner).affinity
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return unreadable
