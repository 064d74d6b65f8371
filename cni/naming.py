"""Pure: what an attachment is called in etcd and in the kernel.

References: Calico v3.32.1 `libcalico-go/lib/names/workloadendpoint.go` (endpoint's name),
`lib/backend/k8s/conversion/workload_endpoint_default.go` (host side of a pod of Kubernetes);
docs/adr/0008-interface-names-without-kubernetes.md.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from cni.errors import BadEnvironment
from cni.request import Request
from felix_py.datastore.keys import ResourceKey
from felix_py.datastore.model import HandleId, Kind, NodeName
from felix_py.kernel.ownership import LINK_PREFIX

HASH_DIGITS = 11
"""An interface name has 15 characters, four of them are the prefix."""

DEFAULT_NAMESPACE = "default"
USUAL_IFNAME = "eth0"


@dataclass(frozen=True, slots=True)
class Names:
    """Every name of one attachment."""

    handle: HandleId
    host_link: str
    endpoint: ResourceKey
    orchestrator: str
    mac: str


def names_of(request: Request, node: NodeName) -> Names:
    """The names that follow from a request. Raises BadEnvironment for a name with a bad end."""
    pod = request.pod
    orchestrator = "cni" if pod is None else "k8s"
    workload = request.container_id if pod is None else pod.name
    name = "-".join(_escaped(part) for part in (node, orchestrator, workload, request.ifname))
    namespace = DEFAULT_NAMESPACE if pod is None else pod.namespace
    return Names(
        handle=request.handle,
        host_link=host_link(request),
        endpoint=ResourceKey(Kind.WORKLOAD_ENDPOINT, name, namespace),
        orchestrator=orchestrator,
        mac=request.conf.mac or pod_mac(request.handle, request.ifname),
    )


def host_link(request: Request) -> str:
    """The host side's name: Calico's for a pod's eth0, a hash of our own for everything else."""
    if request.pod is None:
        return _hashed(f"{request.container_id}.{request.ifname}")
    owner = f"{request.pod.namespace}.{request.pod.name}"
    return _hashed(owner if request.ifname == USUAL_IFNAME else f"{owner}.{request.ifname}")


def pod_mac(handle: HandleId, ifname: str) -> str:
    """A locally administered address that stays the same when ADD is repeated."""
    digest = bytearray(hashlib.sha1(f"{handle}/{ifname}".encode(), usedforsecurity=False).digest())
    digest[0] = digest[0] & 0xFC | 0x02
    return ":".join(f"{octet:02x}" for octet in digest[:6])


def _hashed(owner: str) -> str:
    digest = hashlib.sha1(owner.encode(), usedforsecurity=False).hexdigest()
    return LINK_PREFIX + digest[:HASH_DIGITS]


def _escaped(segment: str) -> str:
    """Calico joins segments by single dashes and doubles those inside."""
    if not segment or segment.startswith("-") or segment.endswith("-"):
        raise BadEnvironment(f"{segment!r} may not begin or end with a dash in an endpoint's name")
    return segment.replace("-", "--")
