"""Pure: the workload endpoint that stands for an attachment in etcd, and what IPAM is told of it.

References: Calico v3.32.1 `cni-plugin/pkg/{plugin,k8s}`, `internal/pkg/utils/utils.go` (attributes,
profiles), `libcalico-go/lib/apis/internalapi/workloadendpoint.go` (fields).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from cni.facts import spec_of
from cni.naming import Names
from cni.request import Request
from felix_py.datastore.codec import decode, render_new, rewrite
from felix_py.datastore.keys import ResourceKey
from felix_py.datastore.model import IPAddress, NodeName, WorkloadEndpoint
from felix_py.datastore.store import KeyValue
from felix_py.kube_api.calico_names import account_profile, namespace_profile
from felix_py.runtime.errors import RefusedError
from ipam.requests import AssignRequest, EndpointDraft, timestamp


@dataclass(frozen=True, slots=True)
class Birth:
    """What a new endpoint gets once: made outside, so that everything here stays pure."""

    uid: str
    at: datetime


def assign_request(request: Request, names: Names, node: NodeName, birth: Birth) -> AssignRequest:
    """What the allocator is asked for: addresses and the endpoint in one transaction."""

    def render(addresses: tuple[IPAddress, ...], stored: KeyValue | None) -> bytes:
        return render_endpoint(request, names, node, birth, (addresses, stored))

    conf = request.conf
    return AssignRequest(
        handle_id=names.handle,
        attributes=_attributes(request, node, birth.at),
        families=conf.families,
        family_pools=conf.pools,
        addresses=conf.addresses,
        namespace_labels=_namespace_labels(request),
        endpoint=EndpointDraft(names.endpoint, render),
        outside=conf.passes_ipam,
    )


def render_endpoint(
    request: Request,
    names: Names,
    node: NodeName,
    birth: Birth,
    given: tuple[tuple[IPAddress, ...], KeyValue | None],
) -> bytes:
    """The endpoint's new text; one that stands is taken over with all that we do not know of it."""
    addresses, stored = given
    spec = {**_spec(request, names, node, addresses), **spec_of(request.facts, addresses)}
    labels = {
        **own_labels(request),
        "projectcalico.org/namespace": names.endpoint.namespace,
        "projectcalico.org/orchestrator": names.orchestrator,
    }
    if stored is not None:
        gone = (
            dict.fromkeys(_labels_of(names.endpoint, stored) - set(labels)) if request.facts else {}
        )
        try:
            return rewrite(stored.value, spec=spec, labels={**gone, **labels})
        except RefusedError:
            pass  # what stands there is no object at all: it counts as absent
    return render_new(
        names.endpoint,
        {name: value for name, value in spec.items() if value is not None},
        uid=birth.uid,
        created_at=birth.at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        labels=labels,
        generate_name=request.facts.generate_name if request.facts else "",
    )


def profiles(request: Request) -> list[str]:
    """The profiles Calico's plugin would name; the service account's is known to Kubernetes alone."""
    if not request.conf.kubernetes_profiles or request.pod is None:
        return [request.conf.name]
    namespace = request.pod.namespace
    account = request.facts.service_account if request.facts else ""
    of_account = [account_profile(namespace, account)] if account else []
    return [namespace_profile(namespace), *of_account]


def own_labels(request: Request) -> Mapping[str, str]:
    """The endpoint's labels without those that follow from its key."""
    if request.pod is None:
        return request.conf.labels
    return request.facts.labels if request.facts else {}


def _labels_of(key: ResourceKey, stored: KeyValue) -> frozenset[str]:
    value = decode(key, stored.value)
    return frozenset(value.meta.labels) if isinstance(value, WorkloadEndpoint) else frozenset()


def _spec(
    request: Request, names: Names, node: NodeName, addresses: tuple[IPAddress, ...]
) -> dict[str, object]:
    spec: dict[str, object] = {
        "orchestrator": names.orchestrator,
        "node": node,
        "containerID": request.container_id,
        "endpoint": request.ifname,
        "ipNetworks": [f"{address}/{address.max_prefixlen}" for address in addresses],
        "profiles": profiles(request),
        "interfaceName": names.host_link,
        "mac": names.mac,
    }
    if request.pod is not None:
        spec["pod"] = request.pod.name
    return spec


def _attributes(request: Request, node: NodeName, at: datetime) -> Mapping[str, str]:
    attributes = {"node": str(node), "timestamp": timestamp(at)}
    if request.pod is not None:
        attributes |= {"namespace": request.pod.namespace, "pod": request.pod.name}
    return attributes


def _namespace_labels(request: Request) -> Mapping[str, str]:
    """The labels that every namespace has, by Kubernetes and by Calico, whatever else it has."""
    if request.facts is not None:
        return request.facts.namespace_labels
    if request.pod is None:
        return {}
    name = request.pod.namespace
    return {"kubernetes.io/metadata.name": name, "projectcalico.org/name": name}
