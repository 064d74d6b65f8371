"""The packet filters on the way: others' forward chains, and felix's own list of nodes that may tunnel."""

from __future__ import annotations

from felix_py.ctl.calc.path import TUNNELS, Fault, Finding, Step, Taken, first
from felix_py.ctl.calc.world import End, Side
from felix_py.ctl.findings import mapping
from felix_py.datastore.calc.reachability import address_of
from felix_py.kernel.ownership import NFT_TABLE

ADMITTED = "admitted"
"""What felix says of a forward chain that drops by default and has its accept rules."""


def filters(near: Side, far: Side, end: End, taken: Taken) -> Step | None:
    """What could drop the packet at the far node, and at both for the forward chains; None: nothing
    is known of filters."""
    reports = {side.name: side.manager("filter") for side in (near, far)}
    if not any(reports.values()):
        return None
    chains = {
        f"{name} of {node}": str(state)
        for node, report in reports.items()
        for name, state in mapping(report.get("forwardChains")).items()
    }
    text = ", ".join([f"table inet {NFT_TABLE}", *(f"{c}: {s}" for c, s in chains.items())])
    finding = first((*map(_dropped, chains, chains.values()), _stranger(near, far, end, taken)))
    return Step(far.name, "packet filters", text, "FelixConfiguration", finding)


def _dropped(chain: str, state: str) -> Finding | None:
    if state == ADMITTED:
        return None
    return Finding(
        Fault.FORWARD_DROPPED,
        f"the forward chain {chain} drops by default, and felix could not admit pods there: {state}",
        "accept what comes from and goes to cali* in it",
    )


def _stranger(near: Side, far: Side, end: End, taken: Taken) -> Finding | None:
    """The far node drops what this node sends by a tunnel: it does not count it among the nodes."""
    own = None if near.node is None else address_of(near.node, end.address.version)
    in_tunnel = taken.hop is not None and taken.hop.link in TUNNELS
    if not in_tunnel or own is None or far.facts is None or own.ip not in far.facts.strangers:
        return None
    return Finding(
        Fault.SENDER_REFUSED,
        f"{far.name} drops tunnelled packets of {own.ip}: its set nodes{own.version} has not the "
        f"address that Node({near.name}) names",
        f"is felix running on {far.name} and in sync? felixctl status there",
    )
