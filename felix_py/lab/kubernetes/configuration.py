"""The configuration of every program of a cluster: command lines and documents. Pure.

Paths are as the program's machine sees them: certificates lie in PKI.
"""

from __future__ import annotations

from typing import Any

from felix_py.lab.addressing import node_address, targets_outside
from felix_py.lab.kubernetes import certificates, images, place
from felix_py.lab.topology import Topology

PKI = f"{place.CONFIGURATION}/pki"
OWN_ETCD = "http://127.0.0.1:2379"
AUDIT_LOG = "/var/log/kubernetes/audit.log"


def own_etcd() -> list[str]:
    """The API server's etcd, on the loopback of the control plane's machine: nobody else's."""
    peer = "http://127.0.0.1:2380"
    return [
        "etcd", "--name", "kubernetes", "--data-dir", "/var/lib/etcd-kubernetes",
        "--listen-client-urls", OWN_ETCD, "--advertise-client-urls", OWN_ETCD,
        "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
        "--initial-cluster", f"kubernetes={peer}", "--logger", "zap", "--log-level", "warn",
        "--unsafe-no-fsync",
    ]  # fmt: skip


def api_server(topology: Topology) -> list[str]:
    """The API server's command line."""
    address = place.api_address(topology)
    issuer = f"https://kubernetes.default.svc.{place.CLUSTER_DOMAIN}"
    accounts = f"{PKI}/{certificates.SERVICE_ACCOUNTS}"
    return [
        f"{place.BINARIES}/kube-apiserver",
        f"--advertise-address={address}", f"--secure-port={place.API_PORT}",
        f"--etcd-servers={OWN_ETCD}",
        f"--service-cluster-ip-range={place.spec(topology).services}",
        f"--client-ca-file={_certificate(certificates.CA)}",
        f"--tls-cert-file={_certificate(certificates.API_SERVER)}",
        f"--tls-private-key-file={_key(certificates.API_SERVER)}",
        f"--kubelet-client-certificate={_certificate(certificates.API_CLIENT)}",
        f"--kubelet-client-key={_key(certificates.API_CLIENT)}",
        f"--kubelet-certificate-authority={_certificate(certificates.CA)}",
        "--kubelet-preferred-address-types=InternalIP",
        f"--service-account-issuer={issuer}",
        f"--service-account-key-file={accounts}.pub",
        f"--service-account-signing-key-file={accounts}-key.pem",
        "--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged=true", "--endpoint-reconciler-type=lease", "--profiling=false",
        f"--audit-policy-file={place.CONFIGURATION}/audit-policy.json",
        f"--audit-log-path={AUDIT_LOG}",
    ]  # fmt: skip


def controller_manager() -> list[str]:
    """The controllers' command line: pods' addresses are given out by the network, not by them."""
    return [
        f"{place.BINARIES}/kube-controller-manager",
        *_delegating(certificates.CONTROLLERS),
        f"--root-ca-file={_certificate(certificates.CA)}",
        f"--service-account-private-key-file={_key(certificates.SERVICE_ACCOUNTS)}",
        f"--cluster-signing-cert-file={_certificate(certificates.CA)}",
        f"--cluster-signing-key-file={_key(certificates.CA)}",
        "--use-service-account-credentials=true", "--allocate-node-cidrs=false",
        "--leader-elect=false", "--bind-address=127.0.0.1", "--profiling=false",
    ]  # fmt: skip


def scheduler() -> list[str]:
    """The scheduler's command line."""
    own = ["--leader-elect=false", "--bind-address=127.0.0.1", "--profiling=false"]
    return [f"{place.BINARIES}/kube-scheduler", *_delegating(certificates.SCHEDULER), *own]


def kubelet(topology: Topology, node: str) -> list[str]:
    """A kubelet's command line."""
    made = [
        f"{place.BINARIES}/kubelet",
        f"--config={place.CONFIGURATION}/kubelet.json",
        f"--kubeconfig={place.CONFIGURATION}/kubelet.conf",
        f"--hostname-override={node}",
        f"--node-ip={node_address(topology, node).ip}",
        f"--node-labels=rack={topology.rack_of(node).name}",
    ]
    wanted = place.spec(topology)
    if wanted.taint and node == wanted.control_plane:
        made.append("--register-with-taints=node-role.kubernetes.io/control-plane=:NoSchedule")
    return made


def kube_proxy() -> list[str]:
    """kube-proxy's command line."""
    return [f"{place.BINARIES}/kube-proxy", f"--config={place.CONFIGURATION}/kube-proxy.json"]


def kubelet_document(topology: Topology, node: str, cgroup: str) -> dict[str, Any]:
    """A KubeletConfiguration: several of them share this host, and none may think it is its own."""
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": _certificate(certificates.CA)},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": _certificate(certificates.kubelet(node)),
        "tlsPrivateKeyFile": _key(certificates.kubelet(node)),
        "clusterDomain": place.CLUSTER_DOMAIN,
        "clusterDNS": [str(place.dns_service(topology))],
        "resolvConf": f"{place.CONFIGURATION}/resolv.conf",
        "containerRuntimeEndpoint": f"unix://{place.CONTAINERD_SOCKET}",
        "cgroupRoot": f"/{cgroup}",
        "cgroupDriver": "cgroupfs",
        "failCgroupV1": False,
        "failSwapOn": False,
        "enforceNodeAllocatable": [],
        "evictionHard": {"memory.available": "10Mi", "nodefs.available": "1%"},
        "imageGCHighThresholdPercent": 100,
        "oomScoreAdj": 0,
        "maxPods": 250,
        "registryPullQPS": 0,
        "eventRecordQPS": 0,
        "protectKernelDefaults": True,
    }


def proxy_document(topology: Topology, node: str, mode: str) -> dict[str, Any]:
    """A KubeProxyConfiguration; limits of connection tracking are the host's and stay as they are."""
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": f"{place.CONFIGURATION}/kube-proxy.conf"},
        "hostnameOverride": node,
        "mode": mode,
        "clusterCIDR": place.pods_cidr(topology),
        "oomScoreAdj": 0,
        "conntrack": {
            "maxPerCore": 0,
            "min": 0,
            "tcpEstablishedTimeout": "0s",
            "tcpCloseWaitTimeout": "0s",
        },
    }


def containerd() -> str:
    """containerd's configuration file (TOML)."""
    runtime = 'plugins."io.containerd.grpc.v1.cri"'
    return f"""\
version = 2
[grpc]
  address = "{place.CONTAINERD_SOCKET}"
[{runtime}]
  sandbox_image = "{images.PAUSE_IMAGE}"
  restrict_oom_score_adj = true
[{runtime}.containerd]
  snapshotter = "overlayfs"
[{runtime}.cni]
  bin_dir = "/opt/cni/bin"
  conf_dir = "/etc/cni/net.d"
"""


def audit_policy() -> dict[str, Any]:
    """Who of the cluster's own accounts asked for what: what RBAC rules can be held against."""
    accounts = {"level": "Metadata", "userGroups": ["system:serviceaccounts"]}
    return {
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [accounts, {"level": "None"}],
    }


def kubeconfig(server: str, pki: str, name: str) -> dict[str, Any]:
    """How a client with this certificate reaches the API server."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": "lab",
                "cluster": {"server": server, "certificate-authority": f"{pki}/ca.pem"},
            }
        ],
        "users": [
            {
                "name": name,
                "user": {
                    "client-certificate": f"{pki}/{name}.pem",
                    "client-key": f"{pki}/{name}-key.pem",
                },
            }
        ],
        "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": name}}],
        "current-context": "lab",
    }


def api_url(topology: Topology) -> str:
    """The API server as every machine of the lab reaches it."""
    return f"https://{place.api_address(topology)}:{place.API_PORT}"


def corefile(topology: Topology) -> str:
    """The configuration of the resolver beyond the racks: it knows machines by their names."""
    lines = [
        f"{address} {name}.{place.OUTSIDE_ZONE}"
        for name, address in targets_outside(topology).items()
    ]
    hosts = "\n        ".join(lines)
    return f""".:53 {{
    errors
    hosts {{
        {hosts}
    }}
}}
"""


def _delegating(name: str) -> list[str]:
    own = f"{place.CONFIGURATION}/{name}.conf"
    flags = ("kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig")
    return [
        *(f"--{flag}={own}" for flag in flags),
        f"--client-ca-file={_certificate(certificates.CA)}",
    ]


def _certificate(name: str) -> str:
    return f"{PKI}/{name}.pem"


def _key(name: str) -> str:
    return f"{PKI}/{name}-key.pem"
