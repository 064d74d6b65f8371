"""What makes a machine of the lab a node of the cluster: its files, and the programs that it keeps running.

containerd, kubelet and kube-proxy are programs of one machine, so they share its mount namespace: the
token volumes that kubelet mounts are there for the containers. Folders that must not show the host's
content, or cannot be on an overlay, are the machine's own, bound to their usual places; thus one
DaemonSet with the usual hostPaths fits every node.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from felix_py.lab import namespaces
from felix_py.lab.errors import LabError
from felix_py.lab.home import Home
from felix_py.lab.kubernetes import binaries, certificates, cgroups, configuration, images, place
from felix_py.lab.machine import PLAIN, Furnishing, Machine, layer
from felix_py.lab.topology import Topology

OWN_FOLDERS = (
    *("/var/lib/kubelet", "/var/lib/containerd", "/var/lib/cni", "/var/lib/etcd-kubernetes"),
    *("/etc/cni", "/opt/cni"),
)
EXPECTED_SYSCTLS: Mapping[str, int] = {
    "vm/overcommit_memory": 1,
    "vm/panic_on_oom": 0,
    "kernel/panic": 10,
    "kernel/panic_on_oops": 1,
    "kernel/keys/root_maxkeys": 1_000_000,
    "kernel/keys/root_maxbytes": 25_000_000,
}
"""What kubelet insists on. They are the host's, so it is shown files that say what it wants to read."""
PLUGINS_FROM = (Path("/usr/lib/cni"), Path("/opt/cni/bin"))
PLUGINS = ("loopback", "portmap", "bandwidth", "host-local", "ptp")
READY_SECONDS = 60.0
"""For containerd to answer and take its images, on a busy host."""
ANSWERS = ("ctr", "--address", place.CONTAINERD_SOCKET, "-n", "k8s.io")


def furnishing(home: Home, topology: Topology, name: str) -> Furnishing:
    """What a machine of this topology has: the programs, and a node what kubelet and containerd need."""
    if topology.kubernetes is None:
        return PLAIN
    binds = {place.BINARIES: str(binaries.directory())}
    if name not in {node.name for _, node in topology.nodes}:
        return Furnishing(binds)
    binds |= {folder: str(_own(home, name, folder)) for folder in OWN_FOLDERS}
    binds |= {f"/proc/sys/{sysctl}": str(_own(home, name, sysctl)) for sysctl in EXPECTED_SYSCTLS}
    return Furnishing(binds, runtime=True)


def prepare(home: Home, topology: Topology, name: str) -> None:
    """Write a node's files onto its disk, and make its control group."""
    disk = home.disk(name)
    for folder in OWN_FOLDERS:
        _own(home, name, folder).mkdir(parents=True, exist_ok=True)
    for sysctl, value in EXPECTED_SYSCTLS.items():
        _own(home, name, sysctl).write_text(f"{value}\n")
    if topology.daemons:
        _install_plugins(_own(home, name, "/opt/cni") / "bin")
    _inside(disk, "/var/log/kubernetes").mkdir(parents=True, exist_ok=True)
    cgroups.make(home.netns(name))
    namespaces.sysctl(home.netns(name), ["net.ipv4.ip_forward=1"])
    _configure(home, topology, name)


def start(home: Home, topology: Topology, name: str) -> None:
    """Keep a node's programs running, from now on; the control plane's too where it is. Raises LabError."""
    machine = Machine(home, name)
    if name == place.spec(topology).control_plane:
        machine.keep("etcd-kubernetes", configuration.own_etcd())
        machine.keep("kube-apiserver", configuration.api_server(topology))
        machine.keep("controllers", configuration.controller_manager())
        machine.keep("scheduler", configuration.scheduler())
    config = f"{place.CONFIGURATION}/containerd.toml"
    machine.keep("containerd", ["containerd", "--config", config])
    _wait_containerd(machine)
    for archive in sorted((place.directory(home) / "images").glob("*.tar")):
        load(machine, archive)
    machine.keep("kubelet", configuration.kubelet(topology, name))
    machine.keep("kube-proxy", configuration.kube_proxy())


def make_shared(home: Home, topology: Topology, images_given: Sequence[str]) -> None:
    """Certificates, the administrator's kubeconfig, the lab's image archives and these. Raises LabError."""
    made = place.directory(home)
    certificates.make(made / "pki", topology)
    admin = configuration.kubeconfig(
        configuration.api_url(topology), str(made / "pki"), certificates.ADMIN
    )
    place.admin_config(home).write_text(json.dumps(admin))
    (made / "images").mkdir(exist_ok=True)
    for image, archive in images.every(binaries.built()).items():
        file = image.rpartition("/")[2].replace(":", "-")
        (made / "images" / f"{file}.tar").write_bytes(archive)
    for number, given in enumerate(images_given):
        try:
            shutil.copy(given, made / "images" / f"given-{number}.tar")
        except OSError as error:
            raise LabError(f"{given}: {error.strerror}") from error


def load(machine: Machine, archive: Path) -> None:
    """Bring an image archive into a node's containerd. Raises LabError."""
    machine.run([*ANSWERS, "images", "import", str(archive)], timeout_seconds=READY_SECONDS)


def serve_names(home: Home, topology: Topology) -> None:
    """Keep the resolver beyond the racks running."""
    name, _ = place.resolver(topology)
    file = layer(home.disk(name), "/etc") / "Corefile"
    file.write_text(configuration.corefile(topology))
    Machine(home, name).keep("dns", [f"{place.BINARIES}/coredns", "-conf", "/etc/Corefile"])


def write_proxy(home: Home, topology: Topology, name: str, mode: str) -> None:
    """kube-proxy's configuration of a node, with this mode; it reads it when it starts."""
    document = configuration.proxy_document(topology, name, mode)
    _write(home, name, "kube-proxy.json", json.dumps(document))


def _configure(home: Home, topology: Topology, name: str) -> None:
    url = configuration.api_url(topology)
    control = name == place.spec(topology).control_plane
    clients = {"kubelet": certificates.kubelet(name), "kube-proxy": certificates.PROXY}
    if control:
        clients |= {
            client: client
            for client in (certificates.CONTROLLERS, certificates.SCHEDULER, certificates.ADMIN)
        }
    _give_certificates(home, name, None if control else list(clients.values()))
    for client, certificate in clients.items():
        text = json.dumps(configuration.kubeconfig(url, configuration.PKI, certificate))
        _write(home, name, f"{client}.conf", text)
    document = configuration.kubelet_document(topology, name, home.netns(name))
    _write(home, name, "kubelet.json", json.dumps(document))
    _write(home, name, "containerd.toml", configuration.containerd())
    _write(home, name, "resolv.conf", f"nameserver {place.resolver(topology)[1]}\n")
    _write(home, name, "audit-policy.json", json.dumps(configuration.audit_policy()))
    write_proxy(home, topology, name, place.spec(topology).proxy)


def _give_certificates(home: Home, name: str, names: list[str] | None) -> None:
    """Copy a worker's certificates and keys onto its disk; None for the control plane, which has all."""
    made = place.directory(home) / "pki"
    pki = _inside(home.disk(name), configuration.PKI)
    pki.mkdir(parents=True, exist_ok=True)
    if names is None:
        files = [*made.glob("*.pem"), *made.glob("*.pub")]
    else:
        files = [certificates.certificate(made, each) for each in (certificates.CA, *names)]
        files += [certificates.key(made, each) for each in names]
    for file in files:
        shutil.copy(file, pki)


def _write(home: Home, name: str, file: str, text: str) -> None:
    (_inside(home.disk(name), place.CONFIGURATION) / file).write_text(text)


def _own(home: Home, name: str, folder: str) -> Path:
    return home.disk(name) / "own" / folder.strip("/").replace("/", "-")


def _inside(disk: Path, path: str) -> Path:
    """Where a path of the machine lies in its layers."""
    for overlaid in ("/etc", "/opt", "/var/lib", "/var/log"):
        if path.startswith(f"{overlaid}/"):
            return layer(disk, overlaid) / path.removeprefix(f"{overlaid}/")
    raise LabError(f"{path}: not in a layer of its own")


def _install_plugins(directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    for plugin in PLUGINS:
        found = next((place / plugin for place in PLUGINS_FROM if (place / plugin).exists()), None)
        if found is None:
            raise LabError(f"{plugin}: no such CNI plugin in {PLUGINS_FROM}; run `make setup`")
        shutil.copy(found, directory)


def _wait_containerd(machine: Machine) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while True:
        try:
            machine.run([*ANSWERS, "version"], timeout_seconds=READY_SECONDS)
        except LabError as error:
            if time.monotonic() > deadline:
                log = machine.home.log(machine.name, "containerd")
                raise LabError(f"{machine.name}: containerd: {error}; see {log}") from error
            time.sleep(0.2)
        else:
            return
