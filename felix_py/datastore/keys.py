"""The etcd tree as typed keys: `key.path` writes one, `parse` reads one; nobody splits text elsewhere.

Reference: Calico v3.32.1 `libcalico-go/lib/backend/model/{resource,block,block_affinity,ipam_handle,
ipam_config}.go`. Keys of our own lie under /felix-py, never under /calico.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_network

from felix_py.datastore.model import HandleId, IPNetwork, Kind, NodeName

RESOURCES = "/calico/resources/v3/projectcalico.org/"
IPAM = "/calico/ipam/v2/"
ASSIGNMENT = f"{IPAM}assignment/"
HANDLES = f"{IPAM}handle/"
HOSTS = f"{IPAM}host/"
VIRTUAL = f"{IPAM}virtual/"
OWN = "/felix-py/v1/"
OWN_NODES = f"{OWN}nodes/"
OWN_CONTROLLERS = f"{OWN}controllers/"
COMPACTED = f"{OWN}compacted"
"""Up to where history was forgotten last (compactor.py)."""
AUDIT = f"{OWN}audit"
"""What the last audit of addresses found, and who audits (ipam/auditor.py)."""

RECOVERY = f"{OWN}recovery/"
"""Of a store that went back: nothing lies here while all is well (ADR 18)."""
RECOVERY_GATE = f"{RECOVERY}gate"
"""Written with the ClusterInformation that we closed, so both are of one revision (gate.py)."""
RECOVERY_QUESTION = f"{RECOVERY}question"
"""Who leads a recovery and asks the nodes what lives there; the value names the question."""
RECOVERY_ANSWERS = f"{RECOVERY}answers/"

MOST_SEGMENTS = 4096
"""Blocks whose text is remembered: a transaction writes and compares the same few again and again."""

NAMESPACED = frozenset(
    {
        Kind.WORKLOAD_ENDPOINT,
        Kind.NETWORK_POLICY,
        Kind.NETWORK_SET,
        Kind.STAGED_NETWORK_POLICY,
        Kind.STAGED_KUBERNETES_NETWORK_POLICY,
    }
)

_BLOCK = re.compile(r"ipv([46])/block/([0-9a-f.:]+)-([0-9]{1,3})")


@dataclass(frozen=True, slots=True)
class ResourceKey:
    """A resource by kind, namespace (empty for global kinds) and name."""

    kind: Kind
    name: str
    namespace: str = ""

    @property
    def path(self) -> str:
        """The key's text in etcd."""
        middle = f"{self.namespace}/" if self.namespace else ""
        return f"{RESOURCES}{self.kind.value}/{middle}{self.name}"


@dataclass(frozen=True, slots=True)
class BlockKey:
    """An IPAM block."""

    cidr: IPNetwork

    @property
    def path(self) -> str:
        """The key's text in etcd."""
        return f"{ASSIGNMENT}{_block_segment(self.cidr)}"


@dataclass(frozen=True, slots=True)
class AffinityKey:
    """A node's (or, virtual, the load balancer's) claim on a block."""

    node: NodeName
    cidr: IPNetwork
    virtual: bool = False

    @property
    def path(self) -> str:
        """The key's text in etcd."""
        return f"{VIRTUAL if self.virtual else HOSTS}{self.node}/{_block_segment(self.cidr)}"

    @property
    def owner(self) -> str:
        """How the block names who claims it, in `affinity`."""
        return f"{'virtual' if self.virtual else 'host'}:{self.node}"


@dataclass(frozen=True, slots=True)
class HandleKey:
    """A handle: which blocks hold addresses of one owner."""

    handle_id: HandleId

    @property
    def path(self) -> str:
        """The key's text in etcd; Calico writes handle ids raw."""
        return f"{HANDLES}{self.handle_id}"


@dataclass(frozen=True, slots=True)
class IPAMConfigKey:
    """IPAM's one configuration key (not the v3 resource, which IPAM ignores in etcd mode)."""

    @property
    def path(self) -> str:
        """The key's text in etcd."""
        return f"{IPAM}config"


@dataclass(frozen=True, slots=True)
class SessionKey:
    """Our own: the one writer of a node."""

    node: NodeName

    @property
    def path(self) -> str:
        """The key's text in etcd."""
        return f"{OWN_NODES}{self.node}/session"


@dataclass(frozen=True, slots=True)
class StatusKey:
    """Our own: what a daemon of a node last said of itself."""

    node: NodeName
    daemon: str

    @property
    def path(self) -> str:
        """The key's text in etcd."""
        return f"{OWN_NODES}{self.node}/status/{self.daemon}"


def recovery_answer(node: NodeName) -> str:
    """The path of a node's answer to RECOVERY_QUESTION."""
    return f"{RECOVERY_ANSWERS}{node}"


@dataclass(frozen=True, slots=True)
class ControllersKey:
    """Our own: what the controllers' leader last said."""

    @property
    def path(self) -> str:
        """The key's text in etcd."""
        return f"{OWN_CONTROLLERS}status"


Key = (
    ResourceKey
    | BlockKey
    | AffinityKey
    | HandleKey
    | IPAMConfigKey
    | SessionKey
    | StatusKey
    | ControllersKey
)


def kind_prefix(kind: Kind, namespace: str = "") -> str:
    """The prefix under which all resources of a kind (in a namespace) lie; ends in `/`."""
    return f"{RESOURCES}{kind.value}/" + (f"{namespace}/" if namespace else "")


def affinity_prefix(node: NodeName, version: int | None = None, *, virtual: bool = False) -> str:
    """The prefix of an owner's affinities, of one IP version or of both; ends in `/`."""
    beginning = f"{VIRTUAL if virtual else HOSTS}{node}/"
    return beginning + (f"ipv{version}/block/" if version else "")


def block_prefix(version: int) -> str:
    """The prefix of all blocks of an IP version; ends in `/`."""
    return f"{ASSIGNMENT}ipv{version}/block/"


def parse(path: str) -> Key | None:
    """The typed key of a path; None for whatever is not one of ours to read."""
    if path.startswith(RESOURCES):
        return _resource(path.removeprefix(RESOURCES))
    if path.startswith(ASSIGNMENT):
        cidr = _cidr(path.removeprefix(ASSIGNMENT))
        return None if cidr is None else BlockKey(cidr)
    if path.startswith((HOSTS, VIRTUAL)):
        return _affinity(path)
    if path.startswith(HANDLES):
        name = path.removeprefix(HANDLES)
        return HandleKey(HandleId(name)) if name and "/" not in name else None
    if path == IPAMConfigKey().path:
        return IPAMConfigKey()
    if path == ControllersKey().path:
        return ControllersKey()
    return _own(path.removeprefix(OWN_NODES)) if path.startswith(OWN_NODES) else None


@lru_cache(MOST_SEGMENTS)
def _block_segment(cidr: IPNetwork) -> str:
    return f"ipv{cidr.version}/block/{cidr.network_address}-{cidr.prefixlen}"


def _resource(rest: str) -> ResourceKey | None:
    parts = rest.split("/")
    try:
        kind = Kind(parts[0])
    except ValueError:
        return None
    names = parts[1:]
    if len(names) != (2 if kind in NAMESPACED else 1) or not all(names):
        return None
    return ResourceKey(kind, names[-1], names[0] if len(names) == 2 else "")


def _affinity(path: str) -> AffinityKey | None:
    virtual = path.startswith(VIRTUAL)
    node, slash, rest = path.removeprefix(VIRTUAL if virtual else HOSTS).partition("/")
    cidr = _cidr(rest)
    if not node or not slash or cidr is None:
        return None
    return AffinityKey(NodeName(node), cidr, virtual)


def _own(rest: str) -> SessionKey | StatusKey | None:
    node, _, what = rest.partition("/")
    if not node:
        return None
    if what == "session":
        return SessionKey(NodeName(node))
    group, _, daemon = what.partition("/")
    return (
        StatusKey(NodeName(node), daemon)
        if group == "status" and daemon and "/" not in daemon
        else None
    )


def _cidr(segment: str) -> IPNetwork | None:
    match = _BLOCK.fullmatch(segment)
    if match is None:
        return None
    version, address, length = match.groups()
    try:
        cidr = ip_network(f"{address}/{length}")
    except ValueError:
        return None
    return cidr if cidr.version == int(version) else None
