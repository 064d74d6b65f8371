"""A real FRR bgpd in a namespace, without zebra: started with a given configuration, asked through vtysh."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.support import netns
from tests.support.bird import until

BGPD = "/usr/lib/frr/bgpd"
START_SECONDS = 10.0


class Frr:
    """One bgpd with a run directory of its own; a context manager that leaves nothing behind."""

    def __init__(self, namespace: str, directory: Path, configuration: str) -> None:
        self.namespace = namespace
        self.directory = directory
        self._configuration = configuration
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.directory.mkdir(parents=True, exist_ok=True)
        config = self.directory / "bgpd.conf"
        config.write_text(self._configuration)
        with (self.directory / "bgpd.log").open("ab") as log:
            self._process = subprocess.Popen(
                netns.command(
                    self.namespace, BGPD, "--no_zebra", "--no_kernel", "-S", "-u", "root", "-g", "root",
                    "-f", str(config), "-i", str(self.directory / "bgpd.pid"),
                    "--vty_socket", str(self.directory), "-P", "0", "--log", "stdout",
                ),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )  # fmt: skip
        until(lambda: "FRR" in self.ask("show version"), START_SECONDS)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._process is not None
        self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def ask(self, command: str) -> str:
        """vtysh's answer; empty while bgpd cannot be reached."""
        done = subprocess.run(
            ["vtysh", "--vty_socket", str(self.directory), "-d", "bgpd", "-c", command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
        return done.stdout if done.returncode == 0 else ""

    def ask_json(self, command: str) -> dict[str, Any]:
        """The same for `... json`; empty when there is no answer."""
        try:
            loaded = json.loads(self.ask(f"{command} json"))
        except ValueError:
            return {}
        return loaded if isinstance(loaded, dict) else {}

    def established(self, neighbor: str) -> bool:
        """Whether the session with this neighbour is up."""
        state = self.ask_json(f"show bgp neighbors {neighbor}").get(neighbor, {})
        return bool(state.get("bgpState") == "Established")

    def routes(self, family: str = "ipv4") -> dict[str, dict[str, Any]]:
        """The first path per prefix, as `show bgp <family> unicast json` has it."""
        table = self.ask_json(f"show bgp {family} unicast").get("routes", {})
        return {prefix: paths[0] for prefix, paths in table.items()}


def configuration(router_id: str, asn: int, neighbor: str, neighbor_asn: int, *more: str) -> str:
    """One neighbour, both families, graceful restart helper; `more` are lines of `router bgp`."""
    families, on = ("ipv4", "ipv6"), f"neighbor {neighbor} activate"
    lines = [
        f"router bgp {asn}",
        f" bgp router-id {router_id}",
        " no bgp ebgp-requires-policy",
        " no bgp network import-check",
        " no bgp default ipv4-unicast",
        f" neighbor {neighbor} remote-as {neighbor_asn}",
        f" neighbor {neighbor} timers 3 9",
        f" neighbor {neighbor} timers connect 1",
        *(f" {line}" for line in more),
        *(f" address-family {family} unicast\n  {on}\n exit-address-family" for family in families),
    ]
    return "frr defaults datacenter\n" + "\n".join(lines) + "\n"
