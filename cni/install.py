"""Puts the shim and the conflist where the runtime looks for them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import structlog

from cni.netconf import SUPPORTED_VERSIONS
from cni.settings import CniSettings
from felix_py.runtime.settings import BadSettings

log = structlog.get_logger(__name__)

SHIM = Path(__file__).parent / "shim" / "felix-py"
PLUGIN_NAME = "felix-py"
CONFLIST_NAME = "10-felix-py.conflist"


def install(settings: CniSettings) -> None:
    """Install what the settings name; unchanged files are left alone. Raises BadSettings.

    The conflist comes last: a kubelet that sees it may call the plugin at once.
    """
    if settings.bin_dir:
        if not SHIM.exists():
            raise BadSettings(f"{SHIM}: missing; install the package with a C compiler at hand")
        _place(Path(settings.bin_dir) / PLUGIN_NAME, SHIM.read_bytes(), 0o755)
    if settings.conf_dir:
        with_portmap = bool(settings.bin_dir) and (Path(settings.bin_dir) / "portmap").exists()
        text = conflist(settings, with_portmap=with_portmap)
        _place(Path(settings.conf_dir) / CONFLIST_NAME, text.encode(), 0o600)


def conflist(settings: CniSettings, *, with_portmap: bool) -> str:
    """A network of our plugin, followed by portmap where the host has it."""
    ipam = {"type": PLUGIN_NAME}
    if not settings.assign_ipv4:
        ipam["assign_ipv4"] = "false"
    if settings.assign_ipv6:
        ipam["assign_ipv6"] = "true"
    plugins: list[dict[str, object]] = [
        {"type": PLUGIN_NAME, "ipam": ipam, "policy": {"type": "k8s"}}
    ]
    if with_portmap:
        plugins.append({"type": "portmap", "snat": True, "capabilities": {"portMappings": True}})
    network = {
        "cniVersion": SUPPORTED_VERSIONS[-1],
        "name": settings.network_name,
        "plugins": plugins,
    }
    return json.dumps(network, indent=2) + "\n"


def _place(path: Path, content: bytes, mode: int) -> None:
    if path.exists() and path.read_bytes() == content and path.stat().st_mode & 0o777 == mode:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f".{path.name}.{os.getpid()}")
        fresh.write_bytes(content)
        fresh.chmod(mode)
        fresh.replace(path)
    except OSError as error:
        raise BadSettings(f"{path}: cannot be written: {error.strerror}") from error
    log.info("installed", path=str(path))
