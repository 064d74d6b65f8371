"""Which MTU a new pod gets."""

from __future__ import annotations

from dataclasses import dataclass

from cni.request import Request
from felix_py.kernel import mtu_file


@dataclass(frozen=True, slots=True)
class NodeMtu:
    """This node's answer. `configured`: the settings' `cni.mtu`, 0 when it is not set."""

    configured: int
    state_dir: str

    def fixed(self, request: Request) -> int:
        """What configuration fixes: the network's, else the node's; 0: nothing."""
        return request.conf.mtu or self.configured

    def found(self) -> int:
        """What felix found right; while it has not looked yet, what fits everywhere."""
        return mtu_file.read(self.state_dir) or mtu_file.SAFE_MTU
