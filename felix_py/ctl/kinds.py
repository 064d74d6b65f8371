"""The resource kinds felixctl knows: how users name them, and the table of their spec."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from felix_py.ctl.errors import CommandError
from felix_py.ctl.schema import bgp, controllers, endpoints, felix, policy, pools
from felix_py.ctl.schema.shape import Fields
from felix_py.datastore.codec_documents import KIND_NAMES
from felix_py.datastore.keys import NAMESPACED
from felix_py.datastore.model import Kind


@dataclass(frozen=True, slots=True)
class KindInfo:
    """One kind: its word in a table of aliases, and what its spec may hold."""

    kind: Kind
    title: str
    aliases: frozenset[str]
    shape: Fields = field(repr=False)
    writable: bool = True

    @property
    def namespaced(self) -> bool:
        """True for kinds whose objects live in a namespace."""
        return self.kind in NAMESPACED


def _info(kind: Kind, short: str, shape: Fields, *, writable: bool = True) -> KindInfo:
    title = KIND_NAMES[kind]
    names = {title.lower(), kind.value, *short.split()}
    return KindInfo(kind, title, frozenset(names), shape, writable)


KINDS: tuple[KindInfo, ...] = (
    _info(Kind.IP_POOL, "pool pools ipp", pools.POOL),
    _info(Kind.IP_RESERVATION, "reservation reservations ipr", pools.RESERVATION),
    _info(Kind.BGP_CONFIGURATION, "bgpconfig bgpconfigs bgpc", bgp.CONFIGURATION),
    _info(Kind.BGP_PEER, "peer peers bgpp", bgp.PEER),
    _info(Kind.BGP_FILTER, "filter filters bgpf", bgp.FILTER),
    _info(Kind.FELIX_CONFIGURATION, "felixconfig felixconfigs felixc fc", felix.FELIX),
    _info(Kind.KUBE_CONTROLLERS_CONFIGURATION, "kcc", controllers.CONTROLLERS),
    _info(Kind.NODE, "no", pools.NODE),
    _info(Kind.HOST_ENDPOINT, "hep", endpoints.HOST_ENDPOINT),
    _info(Kind.WORKLOAD_ENDPOINT, "wep weps endpoint endpoints", endpoints.WORKLOAD_ENDPOINT),
    _info(Kind.PROFILE, "pro profiles", endpoints.PROFILE),
    _info(Kind.NETWORK_SET, "netset netsets netsets", endpoints.NETWORK_SET),
    _info(Kind.GLOBAL_NETWORK_SET, "globalnetset gns", endpoints.NETWORK_SET),
    _info(Kind.TIER, "", policy.TIER),
    _info(Kind.NETWORK_POLICY, "policy policies np pol", policy.NETWORK_POLICY),
    _info(Kind.GLOBAL_NETWORK_POLICY, "gnp", policy.GLOBAL_NETWORK_POLICY),
    _info(Kind.STAGED_NETWORK_POLICY, "snp", policy.STAGED_NETWORK_POLICY),
    _info(Kind.STAGED_GLOBAL_NETWORK_POLICY, "sgnp", policy.STAGED_GLOBAL_NETWORK_POLICY),
    _info(Kind.STAGED_KUBERNETES_NETWORK_POLICY, "sknp", policy.STAGED_KUBERNETES_NETWORK_POLICY),
    _info(Kind.CLUSTER_INFORMATION, "clusterinfo", pools.CLUSTER, writable=False),
)

_BY_NAME: Mapping[str, KindInfo] = {alias: info for info in KINDS for alias in info.aliases}
BY_KIND: Mapping[Kind, KindInfo] = {info.kind: info for info in KINDS}


def find(word: str) -> KindInfo:
    """The kind that a user means. Raises CommandError, listing the kinds."""
    info = _BY_NAME.get(word.lower())
    if info is None:
        known = ", ".join(info.title for info in KINDS)
        raise CommandError(f"{word!r} is not a kind felixctl knows; use one of: {known}")
    return info


def find_writable(word: str) -> KindInfo:
    """The same for a kind that may be written. Raises CommandError."""
    info = find(word)
    if not info.writable:
        raise CommandError(f"{info.title} is read only; `felixctl init` creates it")
    return info
