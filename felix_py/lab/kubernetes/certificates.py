"""The cluster's authority and everybody's certificate, made with openssl for one lab."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from felix_py.lab.addressing import node_address
from felix_py.lab.certificates import DAYS
from felix_py.lab.kubernetes import place
from felix_py.lab.namespaces import run
from felix_py.lab.topology import Topology

NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
CA, SERVICE_ACCOUNTS = "ca", "service-accounts"
API_SERVER, API_CLIENT, ADMIN = "apiserver", "apiserver-kubelet-client", "admin"
CONTROLLERS, SCHEDULER, PROXY = "controller-manager", "scheduler", "proxy"


@dataclass(frozen=True, slots=True)
class Wanted:
    """A certificate: its file's name, its subject in openssl's form, the names that it serves."""

    name: str
    subject: str
    alternative: tuple[str, ...] = ()


def certificate(directory: Path, name: str) -> Path:
    """Where the certificate of this name lies, PEM."""
    return directory / f"{name}.pem"


def key(directory: Path, name: str) -> Path:
    """Where its private key lies, PEM."""
    return directory / f"{name}-key.pem"


def kubelet(node: str) -> str:
    """The name of a kubelet's certificate."""
    return f"kubelet-{node}"


def wanted(topology: Topology) -> Iterator[Wanted]:
    """Every certificate but the authority's own."""
    service = f"kubernetes.default.svc.{place.CLUSTER_DOMAIN}"
    names = ("kubernetes", "kubernetes.default", "kubernetes.default.svc", service, "localhost")
    addresses = (place.api_service(topology), place.api_address(topology), "127.0.0.1")
    alternative = (*(f"DNS:{name}" for name in names), *(f"IP:{address}" for address in addresses))
    yield Wanted(API_SERVER, "/CN=kube-apiserver", alternative)
    yield Wanted(API_CLIENT, "/O=system:masters/CN=kube-apiserver-kubelet-client")
    yield Wanted(ADMIN, "/O=system:masters/CN=kubernetes-admin")
    yield Wanted(CONTROLLERS, "/CN=system:kube-controller-manager")
    yield Wanted(SCHEDULER, "/CN=system:kube-scheduler")
    yield Wanted(PROXY, "/CN=system:kube-proxy")
    for _, node in topology.nodes:
        subject = f"/O=system:nodes/CN=system:node:{node.name}"
        served = (f"DNS:{node.name}", f"IP:{node_address(topology, node.name).ip}")
        yield Wanted(kubelet(node.name), subject, served)


def make(directory: Path, topology: Topology) -> None:
    """Make the authority, the service accounts' key pair and all certificates. Raises LabError."""
    directory.mkdir(parents=True, exist_ok=True)
    directory.chmod(0o700)
    run(
        ["openssl", "req", "-x509", *NEW_KEY, "-days", DAYS, "-subj", "/CN=kubernetes",
         "-keyout", str(key(directory, CA)), "-out", str(certificate(directory, CA))]
    )  # fmt: skip
    private = str(key(directory, SERVICE_ACCOUNTS))
    run(["openssl", "genrsa", "-out", private, "2048"])
    public = str(directory / f"{SERVICE_ACCOUNTS}.pub")
    run(["openssl", "rsa", "-in", private, "-pubout", "-out", public])
    for each in wanted(topology):
        _sign(directory, each)


def _sign(directory: Path, each: Wanted) -> None:
    """Both as a client and as a server: a kubelet is the one and the other."""
    request, extra = directory / f"{each.name}.csr", directory / f"{each.name}.ext"
    extensions = ["extendedKeyUsage=clientAuth,serverAuth"]
    if each.alternative:
        extensions.append(f"subjectAltName={','.join(each.alternative)}")
    extra.write_text("\n".join(extensions) + "\n")
    run(
        ["openssl", "req", "-new", *NEW_KEY, "-subj", each.subject,
         "-keyout", str(key(directory, each.name)), "-out", str(request)]
    )  # fmt: skip
    run(
        ["openssl", "x509", "-req", "-days", DAYS, "-in", str(request),
         "-CA", str(certificate(directory, CA)), "-CAkey", str(key(directory, CA)),
         "-CAcreateserial", "-extfile", str(extra),
         "-out", str(certificate(directory, each.name))]
    )  # fmt: skip
