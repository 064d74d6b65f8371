"""This node's name and machine id: fixed at first start, reported when they change, never adopted."""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path

from felix_py.runtime.settings import BadSettings, NodeSettings

NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
MACHINE_ID = Path("/etc/machine-id")


def settle(settings: NodeSettings) -> str:
    """The node's name: as configured, else as kept, else the host name, which is then kept.

    Kept in <stateDir>/nodename, so that a changed host name cannot make one machine two nodes.
    Raises BadSettings when the configured name contradicts the kept one or no name is usable.
    """
    kept_in = Path(settings.state_dir) / "nodename"
    kept = kept_in.read_text("utf-8").strip() if kept_in.exists() else ""
    name = settings.name or kept or socket.gethostname().lower()
    if not NAME.fullmatch(name) or len(name) > 253:
        raise BadSettings(f"node.name: {name!r} is not a DNS-1123 subdomain; set node.name")
    if kept and kept != name:
        raise BadSettings(
            f"node.name: {name!r} is configured but this machine started as {kept!r}; "
            f"set it back, or drain the node and remove {kept_in}"
        )
    if not kept:
        _keep(kept_in, name)
    return name


def host_name_differs(name: str) -> str | None:
    """The host's present name when it is not this node's name any more; to be reported."""
    present = socket.gethostname().lower()
    return None if present == name else present


def machine_id() -> str:
    """systemd's machine id (32 hex digits). Raises BadSettings when the host has none."""
    try:
        text = MACHINE_ID.read_text("ascii").strip()
    except OSError as error:
        raise BadSettings(
            f"{MACHINE_ID}: {error.strerror}; run systemd-machine-id-setup"
        ) from error
    if not re.fullmatch(r"[0-9a-f]{32}", text):
        raise BadSettings(f"{MACHINE_ID}: not 32 hexadecimal digits; run systemd-machine-id-setup")
    return text


def _keep(path: Path, name: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(path.name + f".{os.getpid()}")
    fresh.write_text(name + "\n", "utf-8")
    with fresh.open("rb") as handle:
        os.fsync(handle.fileno())
    try:
        os.link(fresh, path)
    except FileExistsError:
        pass
    finally:
        fresh.unlink()
