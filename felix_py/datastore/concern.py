"""Pure: what a node reads of each object: all of it, what it needs of others' blocks, or nothing.

Every node hears of every endpoint and block of its cluster. At thousands of nodes decoding all of
them whole, to drop all but a few, is most of a daemon's memory and time at start.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from felix_py.datastore.codec import decode, decode_foreign_block
from felix_py.datastore.keys import BlockKey, Key, ResourceKey
from felix_py.datastore.model import Invalid, Kind, NodeName
from felix_py.datastore.territory import HOST
from felix_py.datastore.values import Value

Reading = Callable[[Key, bytes], Value | Invalid | None]
"""A key's value as a daemon takes it; None: it does not concern this daemon."""


class _Owner(msgspec.Struct):
    affinity: str | None = None


def everything(key: Key, raw: bytes) -> Value | Invalid | None:
    """For who wants all that lies under its prefixes."""
    return decode(key, raw)


def of_node(me: NodeName) -> Reading:
    """Others' endpoints, by their names, are nothing to it; of others' blocks it takes their Holding.

    What cannot be read is kept, because somebody has to report it.
    """
    begin = f"{me.replace('-', '--')}-"
    mine = f"{HOST}{me}"

    def read(key: Key, raw: bytes) -> Value | Invalid | None:
        match key:
            case ResourceKey(kind=Kind.WORKLOAD_ENDPOINT, name=name):
                return decode(key, raw) if _is_named_for(name, begin) else None
            case BlockKey():
                foreign = _affinity(raw, mine) != mine
                return decode_foreign_block(key, raw) if foreign else decode(key, raw)
            case _:
                return decode(key, raw)

    return read


def _is_named_for(name: str, begin: str) -> bool:
    """Calico refuses an endpoint whose name is not `<node>-<orchestrator>-...`, dashes inside of a part
    doubled and none at its ends: after node `a` comes a single dash, after `a` of `a-b` a double one."""
    return name.startswith(begin) and not name.startswith("-", len(begin))


def _affinity(raw: bytes, unreadable: str) -> str | None:
    try:
        return msgspec.json.decode(raw, type=_Owner).affinity
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return unreadable
