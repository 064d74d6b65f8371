"""A real BIRD 2 in a namespace: started with a given configuration, asked through birdc."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support import netns

START_SECONDS = 5.0
SINCE_JITTER_SECONDS = 0.05


@dataclass(frozen=True)
class BirdRoute:
    """One route of `show route all`: its protocol and its BGP attributes by name."""

    prefix: str
    protocol: str
    since: str = ""
    """When BIRD got it last, to the millisecond."""
    stale: bool = False
    attributes: dict[str, str] = field(default_factory=dict)

    @property
    def next_hop(self) -> str:
        """BGP's next hop as it was announced."""
        return self.attributes.get("next_hop", "")


def untouched(before: Mapping[str, BirdRoute], after: Mapping[str, BirdRoute]) -> bool:
    """Nothing was announced again: BIRD prints the moment of one arrival with some jitter."""
    return before.keys() == after.keys() and all(
        replace(after[prefix], since=route.since) == route
        and abs(_seconds(after[prefix].since) - _seconds(route.since)) < SINCE_JITTER_SECONDS
        for prefix, route in before.items()
    )


@dataclass(frozen=True, slots=True, eq=False)
class Since:
    """An instant as BIRD prints it, in seconds of the day: equal within its jitter."""

    seconds: float

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Since) and (
            abs(self.seconds - other.seconds) < SINCE_JITTER_SECONDS
        )

    def __hash__(self) -> int:
        return 0


def _seconds(text: str) -> float:
    """`11:53:10.624` as seconds of the day."""
    hours, minutes, seconds = text.split(":")
    return (int(hours) * 60 + int(minutes)) * 60 + float(seconds)


class Bird:
    """One BIRD process; a context manager that leaves nothing behind."""

    def __init__(self, namespace: str, directory: Path, configuration: str) -> None:
        self.namespace = namespace
        self.directory = directory
        self._configuration = configuration
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def _socket(self) -> Path:
        return self.directory / "bird.ctl"

    def start(self, *, recovering: bool = False) -> None:
        """Start it and wait until birdc answers. `recovering`: after a crash, as a restarting speaker."""
        self.directory.mkdir(parents=True, exist_ok=True)
        (self.directory / "bird.conf").write_text(self._configuration)
        bird = shutil.which("bird") or "/usr/sbin/bird"
        log = (self.directory / "bird.log").open("ab")
        self._process = subprocess.Popen(
            netns.command(
                self.namespace,
                bird, "-f", "-c", str(self.directory / "bird.conf"), "-s", str(self._socket),
                "-P", str(self.directory / "bird.pid"), *(["-R"] if recovering else []),
            ),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )  # fmt: skip
        log.close()
        until(lambda: "BIRD" in self.ask("show", "status"), START_SECONDS)

    def stop(self) -> None:
        """End it; birdc's socket goes with it."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(5)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    def kill(self) -> None:
        """SIGKILL, as a crash."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        self._process = None

    def reconfigure(self, configuration: str) -> None:
        """Another configuration for the running BIRD."""
        (self.directory / "bird.conf").write_text(configuration)
        self.ask("configure")

    def ask(self, *words: str) -> str:
        """birdc's answer to one command; empty while it cannot be reached."""
        done = subprocess.run(
            [shutil.which("birdc") or "/usr/sbin/birdc", "-s", str(self._socket), *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
        return done.stdout if done.returncode == 0 else ""

    def established(self, protocol: str) -> bool:
        """Whether this BGP protocol's session is up."""
        return "Established" in self.ask("show", "protocols", protocol)

    def since(self, protocol: str) -> Since:
        """The time of the protocol's last change: equal means no flap."""
        for line in self.ask("show", "protocols", protocol).splitlines():
            words = line.split()
            if words and words[0] == protocol:
                return Since(_seconds(words[4]))
        return Since(0.0)

    def routes(self, *words: str) -> dict[str, BirdRoute]:
        """The best route per prefix, `words` narrow it as in `show route ... all`."""
        return parse_routes(self.ask("show", "route", *words, "all"))


def parse_routes(text: str) -> dict[str, BirdRoute]:
    """`show route all` of BIRD 2.0: the first route printed for each prefix."""
    found: dict[str, BirdRoute] = {}
    prefix = protocol = since = ""
    stale = False
    attributes: dict[str, str] = {}

    def keep() -> None:
        if protocol and prefix not in found:
            found[prefix] = BirdRoute(prefix, protocol, since, stale, attributes)

    for line in text.splitlines():
        head = re.match(r"^(\S+/\d+)?\s+(?:unicast|unreachable|blackhole) \[(\S+)(.*)$", line)
        if head:
            keep()
            prefix, protocol, attributes = head[1] or prefix, head[2], {}
            since = head[3].split()[0].rstrip("]")
            stale = "s" in re.sub(r".*\((\d+)(s?)\).*", r"\2", head[3])
        elif named := re.match(r"^\s+BGP\.(\w+): ?(.*)$", line):
            attributes[named[1]] = named[2]
    keep()
    return found


def until(
    condition: Callable[[], object], timeout_seconds: float = 30.0, every_seconds: float = 0.05
) -> None:
    """Wait for a condition; fails with its source's name when it does not come true."""
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout_seconds} s: {condition}"
        time.sleep(every_seconds)


def session(
    name: str,
    local: str,
    neighbor: str,
    *,
    asn: int,
    neighbor_asn: int,
    options: Sequence[str] = (),
) -> str:
    """One BGP protocol of a BIRD configuration that takes and gives all IPv4 and IPv6 routes."""
    extra = "".join(f"  {option};\n" for option in options)
    return (
        f"protocol bgp {name} {{\n  local {local} as {asn};\n  neighbor {neighbor} as {neighbor_asn};\n"
        f"  connect delay time 1;\n  connect retry time 1;\n  error wait time 1, 4;\n  hold time 9;\n{extra}"
        "  ipv4 { import all; export where source = RTS_STATIC; next hop self; };\n"
        "  ipv6 { import all; export where source = RTS_STATIC; next hop self; };\n}\n"
    )


def configuration(router_id: str, *parts: str, routes: Sequence[str] = ()) -> str:
    """A BIRD configuration without kernel protocol: nothing leaves its own tables."""
    v4 = "".join(f"  route {route} blackhole;\n" for route in routes if ":" not in route)
    v6 = "".join(f"  route {route} blackhole;\n" for route in routes if ":" in route)
    return (
        f"router id {router_id};\nprotocol device {{}}\n"
        f"protocol static four {{\n  ipv4;\n{v4}}}\nprotocol static six {{\n  ipv6;\n{v6}}}\n"
        + "".join(parts)
    )
