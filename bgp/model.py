"""Frozen values of the BGP agent: what a session should be, what we say, what we hear."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import msgspec

IPAddress = IPv4Address | IPv6Address
IPNetwork = IPv4Network | IPv6Network


class Family(Enum):
    """Address families we speak, spelled as ExaBGP's commands spell them."""

    IPV4 = "ipv4 unicast"
    IPV6 = "ipv6 unicast"

    @property
    def version(self) -> int:
        """4 or 6."""
        return 4 if self is Family.IPV4 else 6


@dataclass(frozen=True, slots=True)
class Peering:
    """One session this node should have. `peer` identifies it: ExaBGP keeps one per address.

    restart_seconds: the graceful restart time we offer (RFC 4724), 0: not offered.
    allowed_local_as: how often our own AS may stand in a received AS_PATH.
    second: our address of the other IP version, the next hop there, when the session carries both.
    """

    peer: IPAddress
    local: IPAddress
    local_as: int
    peer_as: int
    router_id: IPv4Address
    families: tuple[Family, ...] = (Family.IPV4,)
    port: int = 179
    password: str = ""
    hold_seconds: int = 90
    restart_seconds: int = 120
    ttl_security: int | None = None
    allowed_local_as: int = 0
    max_prefixes: int = 20000
    source: str = ""
    """Where it comes from, for people: `mesh node-2`, `BGPPeer tor-a`."""
    second: IPAddress | None = None

    def next_hop(self, version: int) -> IPAddress | None:
        """What we announce routes of an IP version with; None: this session does not carry them."""
        if version not in {family.version for family in self.families}:
            return None
        return self.local if version == self.local.version else self.second

    @property
    def key(self) -> tuple[object, ...]:
        """What makes it another neighbour for ExaBGP: changing one of these removes and adds it."""
        return (self.peer, self.local, self.local_as, self.peer_as, self.router_id)

    @property
    def external(self) -> bool:
        """An eBGP session."""
        return self.local_as != self.peer_as


@dataclass(frozen=True, slots=True, order=True)
class Attributes:
    """Path attributes of what we announce; the next hop is always explicit."""

    next_hop: str
    as_path: tuple[int, ...] = ()
    """Empty: ExaBGP prepends the local AS towards eBGP peers by itself."""
    local_preference: int | None = None
    med: int | None = None
    communities: tuple[str, ...] = ()


class Path(msgspec.Struct, frozen=True, gc=False):
    """The way to some prefixes as a peer told it; all that an UPDATE announces with one next hop share it."""

    next_hop: IPAddress
    as_path: tuple[int, ...] = ()
    origin: str = "igp"
    local_preference: int | None = None
    med: int | None = None
    communities: tuple[str, ...] = ()
    originator_id: str = ""
    cluster_list: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Heard:
    """Prefixes that an UPDATE announces with the same path."""

    prefixes: tuple[IPNetwork, ...]
    path: Path


@dataclass(frozen=True, slots=True)
class RelayAttached:
    """The relay (re)connected. `epoch` names the relay process, `exabgp_pid` its parent.

    lost: events were dropped while nobody read; everything must be asked for again.
    connection: counts our connections; commands that belong to an earlier one must not go out.
    """

    epoch: str
    exabgp_pid: int
    lost: bool
    connection: int = 0


@dataclass(frozen=True, slots=True)
class PeerOpened:
    """The peer's OPEN: its capabilities."""

    peer: IPAddress
    asn: int
    families: frozenset[Family]
    restart_seconds: int | None
    """None: no graceful restart capability."""
    forwarding_kept: frozenset[Family]
    """Families whose forwarding state the peer kept (F bit)."""
    restarting: bool
    """The R bit: the peer itself has just restarted."""
    graceful: frozenset[Family] | None = None
    """Families the graceful restart capability lists; None: not known, counts as all. BIRD names a
    time and no family when it only helps others: its own paths are not to be held then."""


@dataclass(frozen=True, slots=True)
class PeerUp:
    """The session is established."""

    peer: IPAddress


@dataclass(frozen=True, slots=True)
class PeerDown:
    """The session is gone."""

    peer: IPAddress
    reason: str


@dataclass(frozen=True, slots=True)
class PathsReceived:
    """One UPDATE: withdrawals first, then announcements."""

    peer: IPAddress
    withdrawn: tuple[IPNetwork, ...]
    announced: tuple[Heard, ...]


@dataclass(frozen=True, slots=True)
class EndOfRib:
    """The peer has sent all it has of a family."""

    peer: IPAddress
    family: Family


@dataclass(frozen=True, slots=True)
class NotificationSeen:
    """A NOTIFICATION was sent or received: what follows is not a graceful restart."""

    peer: IPAddress
    code: int
    subcode: int
    text: str
    sent: bool


@dataclass(frozen=True, slots=True)
class RefreshSeen:
    """Route refresh: `query` asks us, `begin` and `end` bracket what we asked for (RFC 7313)."""

    peer: IPAddress
    family: Family
    subtype: str


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """ExaBGP's answer to the oldest command not yet answered."""

    ok: bool


@dataclass(frozen=True, slots=True)
class ShuttingDown:
    """ExaBGP says that it ends."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A line that is neither an event nor an ack: the answer to a `show` command."""

    text: str


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A line that could not be understood: count it, name it, drop it."""

    text: str
    why: str


Event = (
    RelayAttached
    | PeerOpened
    | PeerUp
    | PeerDown
    | PathsReceived
    | EndOfRib
    | NotificationSeen
    | RefreshSeen
    | Acknowledged
    | ShuttingDown
    | Reply
    | Unreadable
)
