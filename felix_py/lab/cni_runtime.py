"""A container runtime's side of CNI: the conflist of a node, its plugins executed one after the other."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from felix_py.lab.errors import LabError
from felix_py.lab.home import Home
from felix_py.lab.machine import Machine, environment, layer

PLUGIN_PATH = "/opt/cni/bin:/usr/lib/cni"
TRY_AGAIN = 11
"""The specification's code for `try again later`."""
TRY_SECONDS = 30.0
CONFLIST_SECONDS = 60.0
PLUGIN_SECONDS = 120.0

T = TypeVar("T")


class CniFailed(LabError):
    """A plugin answered with an error: its code and text."""

    def __init__(self, what: str, code: int, text: str) -> None:
        super().__init__(f"{what}: CNI error {code}: {text}")
        self.code = code


@dataclass(frozen=True, slots=True)
class Attachment:
    """A container's interface: what a runtime passes by environment."""

    container_id: str
    netns_path: str
    ifname: str = "eth0"
    args: str = ""


def conflist(home: Home, node: str) -> dict[str, Any]:
    """The first configuration list of the node's /etc/cni/net.d, as a runtime chooses it.

    One is waited for: it comes when the node's first announcement is out. Raises LabError.
    """
    directory = layer(home.disk(node), "/etc") / "cni" / "net.d"
    deadline = time.monotonic() + CONFLIST_SECONDS
    while not (found := sorted(directory.glob("*.conflist"))):
        if time.monotonic() > deadline:
            log = home.log(node, "cni")
            raise LabError(f"{node}: no conflist in its /etc/cni/net.d; see {log}")
        time.sleep(0.1)
    loaded: dict[str, Any] = json.loads(found[0].read_text())
    return loaded


def add(machine: Machine, attachment: Attachment) -> dict[str, Any]:
    """ADD with every plugin of the list; the last result. After a failure DEL, as runtimes do.

    `try again later` is tried again for TRY_SECONDS. Raises CniFailed.
    """

    def once() -> dict[str, Any]:
        try:
            return _add_once(machine, attachment)
        except CniFailed:
            delete(machine, attachment)
            raise

    return _patiently(once)


def delete(machine: Machine, attachment: Attachment) -> None:
    """DEL with every plugin of the list, the last one first; tried again as ADD is. Raises CniFailed."""
    listed = conflist(machine.home, machine.name)
    for plugin in reversed(listed["plugins"]):
        made = _configuration(listed, plugin, None)
        _patiently(partial(execute, machine, "DEL", attachment, made))


def _patiently(call: Callable[[], T]) -> T:
    deadline = time.monotonic() + TRY_SECONDS
    while True:
        try:
            return call()
        except CniFailed as error:
            if error.code != TRY_AGAIN or time.monotonic() > deadline:
                raise
            time.sleep(0.5)


def _add_once(machine: Machine, attachment: Attachment) -> dict[str, Any]:
    listed = conflist(machine.home, machine.name)
    result: dict[str, Any] | None = None
    for plugin in listed["plugins"]:
        text = execute(machine, "ADD", attachment, _configuration(listed, plugin, result))
        result = json.loads(text)
    assert result is not None, "a conflist has at least one plugin"
    return result


def execute(
    machine: Machine, command: str, attachment: Attachment, configuration: dict[str, Any]
) -> str:
    """One plugin's answer to one command. Raises CniFailed with the plugin's own error."""
    plugin = configuration["type"]
    environ = environment() | {
        "CNI_COMMAND": command,
        "CNI_CONTAINERID": attachment.container_id,
        "CNI_NETNS": attachment.netns_path,
        "CNI_IFNAME": attachment.ifname,
        "CNI_ARGS": attachment.args,
        "CNI_PATH": PLUGIN_PATH,
    }
    done = subprocess.run(
        machine.command(["sh", "-c", f'exec "$(PATH={PLUGIN_PATH} command -v {plugin})"']),
        input=json.dumps(configuration),
        capture_output=True,
        text=True,
        env=os.environ | environ,
        timeout=PLUGIN_SECONDS,
        check=False,
    )
    if done.returncode:
        raise _failure(f"{machine.name}: {plugin} {command}", done.stdout, done.stderr)
    return done.stdout


def _configuration(
    listed: dict[str, Any], plugin: dict[str, Any], previous: dict[str, Any] | None
) -> dict[str, Any]:
    made = {**plugin, "cniVersion": listed["cniVersion"], "name": listed["name"]}
    made.pop("capabilities", None)
    if previous is not None:
        made["prevResult"] = previous
    return made


def _failure(what: str, stdout: str, stderr: str) -> CniFailed:
    try:
        said = json.loads(stdout)
        text = " ".join(str(said.get(part, "")) for part in ("msg", "details")).strip()
        return CniFailed(what, int(said.get("code", 999)), text)
    except (ValueError, AttributeError, TypeError):
        return CniFailed(what, 999, (stdout + stderr).strip()[-1000:])
