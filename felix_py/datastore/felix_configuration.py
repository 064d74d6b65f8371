"""FelixConfiguration: what felix is told beside pools and endpoints, and whose word counts. Pure.

Reference: Calico v3.32.1 `api/pkg/apis/projectcalico/v3/felixconfig.go`, `felix/docs/config-params.json`.
Only fields that we serve are here; the others are kept in etcd and not looked at.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace

from felix_py.datastore import selectors
from felix_py.datastore.model import IPAddress, IPNetwork, Metadata, NodeName

DEFAULT = "default"
NODE_PREFIX = "node."

DEFAULT_VXLAN_PORT = 4789
DEFAULT_VXLAN_VNI = 4096
DEFAULT_MTU_PATTERN = r"^((en|wl|ww|sl|ib)[Pcopsvx].*|(eth|wlan|wwan).*)"


@dataclass(frozen=True, slots=True)
class FelixConfiguration:
    """One object (`default`, `node.<name>`, or selector-scoped), or the merge of all that concern a
    node. None: not set here, Calico's default holds (reference: calico-etcd data model, 3.11)."""

    meta: Metadata = field(default_factory=lambda: Metadata(name=DEFAULT))
    node_selector: str = ""
    ipip_enabled: bool | None = None
    """None: when a pool asks for it."""
    vxlan_enabled: bool | None = None
    ipip_mtu: int | None = None
    """0 is stored as None: found from the host's links."""
    vxlan_mtu: int | None = None
    vxlan_mtu_v6: int | None = None
    vxlan_port: int | None = None
    vxlan_vni: int | None = None
    mtu_interface_pattern: str | None = None
    program_cluster_routes: bool | None = None
    """felix writes what BGP would write of routes to other nodes; default: it does not."""
    external_nodes: tuple[IPNetwork, ...] | None = None
    """Senders of tunnelled packets besides the nodes."""
    allow_ipip_from_workloads: bool | None = None
    allow_vxlan_from_workloads: bool | None = None
    nat_outgoing_address: IPAddress | None = None
    """None: masquerade."""
    nat_outgoing_spares_hosts: bool | None = None
    """natOutgoingExclusions IPPoolsAndHostIPs: towards nodes nothing is translated."""
    nat_port_range: tuple[int, int] | None = None
    nat_outgoing_interfaces: str | None = None
    """Only packets that leave by an interface of this name (a trailing + is a wildcard)."""
    any_source_spoofing: bool | None = None
    """workloadSourceSpoofing Any: endpoints' allowSpoofedSourcePrefixes count."""
    floating_ips: bool | None = None
    """Endpoints' floating addresses count; default: they do not."""
    ipv6_support: bool | None = None


def effective(
    objects: Mapping[str, FelixConfiguration], me: NodeName, labels: Mapping[str, str]
) -> FelixConfiguration:
    """What holds on this node, field by field: `node.<me>`, then objects whose selector matches its
    labels (by name, the first wins), then `default`."""
    scoped = sorted(
        (
            each
            for name, each in objects.items()
            if name != DEFAULT and not name.startswith(NODE_PREFIX) and each.node_selector
        ),
        key=lambda each: each.meta.name,
    )
    chosen = [each for each in scoped if selectors.parse(each.node_selector).matches(labels)]
    own, common = objects.get(f"{NODE_PREFIX}{me}"), objects.get(DEFAULT)
    return _merge(each for each in (own, *chosen, common) if each is not None)


def _merge(by_precedence: Iterable[FelixConfiguration]) -> FelixConfiguration:
    merged = FelixConfiguration()
    for one in by_precedence:
        missing = {
            each.name: getattr(one, each.name)
            for each in fields(FelixConfiguration)
            if each.name not in {"meta", "node_selector"} and getattr(merged, each.name) is None
        }
        merged = replace(merged, **missing)
    return merged
