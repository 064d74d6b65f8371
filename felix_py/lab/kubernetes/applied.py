"""Our manifest on the cluster, as an administrator applies it: images, ConfigMap, and where its etcd is."""

from __future__ import annotations

import base64
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from felix_py.lab import etcd
from felix_py.lab.errors import LabError
from felix_py.lab.home import Home
from felix_py.lab.kubernetes.kubectl import Kubectl, ready
from felix_py.lab.topology import Topology

CHECKOUT = Path(__file__).resolve().parents[3]
MANIFEST = CHECKOUT / "manifests" / "felix-py.yaml"
IMAGE_SECONDS = 1200.0
"""A first build downloads packages."""
NAMESPACE = ("-n", "felix-py")
AGENT = "felix-py-node"
AGENTS = (*NAMESPACE, "pods", "-l", "app.kubernetes.io/component=node")
CONTROLLERS = (*NAMESPACE, "pods", "-l", "app.kubernetes.io/component=controllers")
ADMINISTRATOR = "felix-py-etcd-admin"
CONFIG = ("ConfigMap", "felix-py-config")


def archives(directory: Path | None = None) -> tuple[str, ...]:
    """The images of this checkout, built as `make image` does. Raises LabError."""
    made = directory or CHECKOUT / "dist"
    done = subprocess.run(
        [sys.executable, "-m", "image", str(made)]
        if directory
        else [sys.executable, "-m", "image"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=IMAGE_SECONDS,
        check=False,
    )
    if done.returncode:
        raise LabError(f"python -m image: {done.stderr.strip()[-2000:]}")
    return tuple(re.findall(r"^(\S+\.tar)  ", done.stdout, re.MULTILINE))


def manifest(topology: Topology) -> str:
    """manifests/felix-py.yaml with this topology's pools, peers and AS number in its ConfigMap."""
    documents = [each for each in yaml.safe_load_all(MANIFEST.read_text("utf-8")) if each]
    for each in documents:
        if (each["kind"], each["metadata"]["name"]) == CONFIG:
            each["data"] |= configured(topology)
    return yaml.safe_dump_all(documents, sort_keys=False)


def configured(topology: Topology) -> dict[str, str]:
    """The ConfigMap's fields that a topology decides."""
    pools = [{"name": pool.name, **pool.spec} for pool in topology.pools]
    peers = [{"name": peer.name, **peer.spec} for peer in topology.peers]
    return {
        "pools": yaml.safe_dump(pools, sort_keys=False),
        "bgp_peers": yaml.safe_dump(peers, sort_keys=False) if peers else "",
        "as_number": str(topology.as_number),
        "node_mesh": "true" if topology.mesh else "false",
        "backend": topology.backend,
    }


def keep_certificates(home: Home, kubectl: Kubectl) -> str | None:
    """Have what the administrator of the etcd inside has, for etcdctl; what is missing yet, in words."""
    data = kubectl.get(*NAMESPACE, "secrets", "--field-selector", f"metadata.name={ADMINISTRATOR}")
    if not data:
        return f"there is no Secret {ADMINISTRATOR}: {_installation(kubectl)}"
    folder = etcd.inside(home)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name, text in data[0]["data"].items():
        (folder / name).write_bytes(base64.b64decode(text))
    return None


def agents_not_ready(kubectl: Kubectl, topology: Topology) -> str | None:
    """Which nodes' agents are not ready, and what they say."""
    found = {pod["spec"]["nodeName"]: pod for pod in kubectl.get(*AGENTS)}
    waiting = {name: _state(found.get(name)) for _, node in topology.nodes if (name := node.name)}
    said = [f"{name}: {state}" for name, state in waiting.items() if state]
    return "; ".join(said) or None


def controllers_not_ready(kubectl: Kubectl) -> str | None:
    """Which of the controllers' pods are not ready; they bring nodes' labels, by which peers select."""
    waiting = {pod["metadata"]["name"]: _state(pod) for pod in kubectl.get(*CONTROLLERS)}
    said = [f"{name}: {state}" for name, state in waiting.items() if state]
    return "; ".join(said) or None


def leader(kubectl: Kubectl) -> str:
    """The controllers' pod that works now. Raises LabError."""
    lease = ("get", *NAMESPACE, "lease", "felix-py-controllers")
    return kubectl.run(*lease, "-o", "jsonpath={.spec.holderIdentity}")


def felixctl(kubectl: Kubectl, *arguments: str, stdin: str = "") -> str:
    """The command inside an agent's pod, as an administrator runs it. Raises LabError."""
    where = ("exec", "-i", *NAMESPACE, f"daemonset/{AGENT}", "-c", "felixctl", "--", "felixctl")
    return kubectl.run(*where, *arguments, stdin=stdin)


def _state(pod: dict[str, Any] | None) -> str:
    """Empty when the pod is ready."""
    if pod is None:
        return "no pod"
    if ready(pod):
        return ""
    states = pod["status"].get("containerStatuses", [])
    waiting = [each["name"] for each in states if not each.get("ready")]
    return f"{pod['status'].get('phase', '?')}, not ready: {', '.join(waiting) or 'its init container'}"


def _installation(kubectl: Kubectl) -> str:
    """The end of what the installation's Job wrote."""
    try:
        return kubectl.run("logs", *NAMESPACE, "job/felix-py-install", "--tail=2").strip()
    except LabError as error:
        return str(error)
