"""Asking other nodes: `felixctl` is run there by a command that the operator names, bounded in time.

The command is a template, `--via` or `ctl.via` in the settings: "ssh {node}", "ssh root@{address}",
"kubectl exec -n kube-system felix-py-{node} --". What is run goes behind it. `{node}` is the node's name,
`{address}` its address. Names come from etcd, and a name like -oProxyCommand=... would be an
option of ssh: only what looks like a host name is put in.
"""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from felix_py.ctl.calc.facts import Asked, NodeFacts, decode
from felix_py.runtime.errors import RefusedError

DEFAULT_SECONDS = 15.0
"""A node that takes longer counts as unseen."""
AT_ONCE = 16
"""Nodes that are asked at the same time."""
MAX_ERROR_CHARACTERS = 200
"""Of what the command said in anger; the rest is cut off."""
HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._:-]*[A-Za-z0-9])?")
PLAIN = re.compile(r"[A-Za-z0-9._:/,=@+-]+")
"""What a remote shell (ssh joins arguments by spaces) reads as it is written."""


class CouldNotAsk(RefusedError):
    """A node gave no answer; the text says why, for people."""


@dataclass(frozen=True, slots=True)
class Target:
    """A node as a template's placeholders name it."""

    node: str
    address: str = ""


@dataclass(frozen=True, slots=True)
class Remote:
    """Runs commands on other nodes by a template; without one, every question is refused."""

    template: str = ""
    seconds: float = DEFAULT_SECONDS

    def command(self, target: Target, arguments: Sequence[str]) -> list[str]:
        """The whole command line. Raises CouldNotAsk."""
        if not self.template:
            raise CouldNotAsk("no way to other nodes is configured (--via, or ctl.via)")
        for text in (target.node, target.address):
            if text and not HOST.fullmatch(text):
                raise CouldNotAsk(f"{text!r} is not put into a command: no host name or address")
        for argument in arguments:
            if not PLAIN.fullmatch(argument):
                raise CouldNotAsk(f"{argument!r} is not put into a command: a shell could read it")
        try:
            words = [
                word.format(node=target.node, address=target.address)
                for word in shlex.split(self.template)
            ]
        except (ValueError, KeyError, IndexError) as error:
            raise CouldNotAsk(
                f"--via {self.template!r}: {error}; use {{node}} or {{address}}"
            ) from error
        return [*words, *arguments]

    def run(self, target: Target, arguments: Sequence[str]) -> bytes:
        """What a command wrote on that node, whatever its status when it wrote something.

        Raises CouldNotAsk: no template, no such command, too slow, or nothing but complaints.
        """
        command = self.command(target, arguments)
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=self.seconds,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise CouldNotAsk(f"no answer in {self.seconds:g} s: {command[0]}") from None
        except OSError as error:
            raise CouldNotAsk(f"{command[0]}: {error.strerror}") from error
        if done.returncode != 0 and not done.stdout:
            said = " ".join(done.stderr.decode("utf-8", "replace").split())
            raise CouldNotAsk(f"{said[-MAX_ERROR_CHARACTERS:] or f'status {done.returncode}'}")
        return done.stdout

    def facts(self, target: Target, asked: Asked) -> NodeFacts:
        """Another node's facts. Raises CouldNotAsk."""
        answer = self.run(target, ["felixctl", "facts", "-o", "json", *arguments_of(asked)])
        try:
            found = decode(answer)
        except ValueError as error:
            raise CouldNotAsk(f"its answer cannot be read: {error}") from error
        if found.node != target.node:
            raise CouldNotAsk(f"the answer is of node {found.node!r}; correct --via")
        return found

    def all_facts(
        self, targets: Iterable[Target], asked: Asked
    ) -> Mapping[str, NodeFacts | CouldNotAsk]:
        """The facts of several nodes by name, or why there are none; AT_ONCE at a time."""

        def ask(target: Target) -> tuple[str, NodeFacts | CouldNotAsk]:
            try:
                return target.node, self.facts(target, asked)
            except CouldNotAsk as error:
                return target.node, error

        with ThreadPoolExecutor(AT_ONCE) as pool:
            return dict(pool.map(ask, targets))


def arguments_of(asked: Asked) -> list[str]:
    """What is asked, as the arguments of `felixctl facts`."""
    flows = [f"--flow={source},{destination}" for source, destination in asked.flows]
    about = [f"--about={address}" for address in asked.about]
    return [*flows, *about, *(f"--link={link}" for link in asked.links)]
