"""Pure: what Kubernetes knows of a pod, as far as its attachment needs it.

Reference: Calico v3.32.1 `libcalico-go/lib/backend/k8s/conversion/workload_endpoint_default.go`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from cni.annotations import FLOATING, PAST_IPAM, Wishes, wishes_of
from cni.errors import BadAnnotation, UnsupportedField
from cni.netconf import NetConf
from felix_py.datastore.model import IPAddress
from felix_py.kube_api.calico_names import PREFIX, labels_of
from felix_py.kube_api.model import ContainerPort, Namespace, Pod

PROTOCOLS = frozenset({"TCP", "UDP", "SCTP"})


@dataclass(frozen=True, slots=True)
class PodFacts:
    """A pod's part. namespace_labels: its namespace's, with the one that Calico adds."""

    uid: str
    generate_name: str
    service_account: str
    labels: Mapping[str, str]
    ports: tuple[ContainerPort, ...]
    namespace_labels: Mapping[str, str]
    wishes: Wishes


def facts_of(pod: Pod, namespace: Namespace) -> PodFacts:
    """What there is to know. Raises CniError that names a bad annotation."""
    return PodFacts(
        uid=pod.meta.uid,
        generate_name=pod.meta.generate_name,
        service_account=pod.service_account,
        labels=labels_of(pod),
        ports=tuple(port for port in pod.ports if port.protocol in PROTOCOLS),
        namespace_labels={**namespace.meta.labels, PREFIX + "name": namespace.meta.name},
        wishes=wishes_of(pod.meta.annotations, namespace.meta.annotations),
    )


def configured(conf: NetConf, facts: PodFacts) -> NetConf:
    """The network's configuration with this pod's wishes in place of what it says for all pods."""
    wishes = facts.wishes
    families = tuple(each for each in conf.families if each in (wishes.families or conf.families))
    if not families:
        raise BadAnnotation("annotation cni.projectcalico.org/ipFamilies: the network serves none")
    if wishes.past_ipam and not conf.may_pass_ipam:
        raise UnsupportedField(
            f"annotation {PAST_IPAM}: the network does not allow it (feature_control.ip_addrs_no_ipam)"
        )
    if wishes.floating and not conf.may_float:
        raise UnsupportedField(
            f"annotation {FLOATING}: the network does not allow it (feature_control.floating_ips)"
        )
    homeless = [each for each in wishes.floating if each.version not in families]
    if homeless:
        raise BadAnnotation(
            f"annotation {FLOATING}: {homeless[0]}: the pod gets no IPv{homeless[0].version}"
        )
    return replace(
        conf,
        families=families,
        pools={**conf.pools, **wishes.pools},
        addresses=wishes.addresses or conf.addresses,
        mac=wishes.mac or conf.mac,
        passes_ipam=wishes.past_ipam,
    )


def spec_of(facts: PodFacts | None, addresses: Iterable[IPAddress]) -> dict[str, Any]:
    """The fields of the endpoint's spec that come from Kubernetes alone; None: there must be none."""
    if facts is None:
        return {}
    spec: dict[str, Any] = {
        "serviceAccountName": facts.service_account or None,
        "ports": [_port(port) for port in facts.ports if port.name or port.host_port] or None,
        "ipNATs": [
            {"internalIP": str(address), "externalIP": str(floating)}
            for address in addresses
            for floating in facts.wishes.floating
            if floating.version == address.version
        ]
        or None,
    }
    if facts.wishes.sources:
        spec["allowSpoofedSourcePrefixes"] = list(facts.wishes.sources)
    if facts.wishes.qos:
        spec["qosControls"] = dict(facts.wishes.qos)
    return spec


def _port(port: ContainerPort) -> dict[str, Any]:
    return {
        "name": port.name,
        "protocol": port.protocol,
        "port": port.port,
        "hostPort": port.host_port,
        "hostIP": port.host_ip,
    }
