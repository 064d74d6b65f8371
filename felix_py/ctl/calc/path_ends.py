"""The ends of the way: whose address it is in etcd, and the veth that stands for it in the kernel."""

from __future__ import annotations

from felix_py.ctl.calc.facts import LinkFact, NeighbourFact
from felix_py.ctl.calc.path import Fault, Finding, Step, first
from felix_py.ctl.calc.world import End, Side, World
from felix_py.kernel.neighbour_dump import FAILED, INCOMPLETE

NOT_RESOLVED = frozenset({FAILED, INCOMPLETE})


def whose(world: World, end: End) -> Step:
    """The endpoint, block and pool of an address."""
    owners = [f"WorkloadEndpoint({key.namespace}/{key.name})" for key in end.claims[:1]]
    if end.of_node:
        owners = [f"Node({end.node})"]
    if end.block is not None:
        owners.append(f"block {end.block.cidr} of {end.block.affinity or 'nobody'}")
    if end.pool is not None:
        owners.append(f"IPPool({end.pool.name})")
    finding = first((_claims(end), _holder(end), _pool(world, end)))
    return Step(
        str(end.node or "outside"), f"address of {end.title}", "", ", ".join(owners), finding
    )


def _claims(end: End) -> Finding | None:
    if len(end.claims) < 2:
        return None
    names = " and ".join(f"{key.namespace}/{key.name}" for key in end.claims)
    return Finding(
        Fault.ADDRESS_TWICE,
        f"{end.address} is claimed by {names}",
        "delete the endpoint (and pod) that should not have it: felixctl delete workloadendpoint",
    )


def _holder(end: End) -> Finding | None:
    if end.endpoint is not None or end.of_node or end.pool is None:
        return None
    return Finding(
        Fault.NO_ENDPOINT,
        f"{end.address} is in IPPool({end.pool.name}), and no endpoint in etcd has it",
        f"felixctl ipam show --ip {end.address} says whether anybody holds it",
    )


def _pool(world: World, end: End) -> Finding | None:
    if end.endpoint is None:
        return None
    if end.pool is None:
        broken = next((k for k in sorted(world.invalid) if "/ippools/" in k), None)
        why = f"; {broken} is invalid: {world.invalid[broken]}" if broken else ""
        return Finding(
            Fault.NO_POOL,
            f"{end.address} is in no IPPool: other nodes refuse routes to it{why}",
            "create or correct the pool",
        )
    if end.pool.disabled:
        return Finding(
            Fault.POOL_DISABLED,
            f"IPPool({end.pool.name}) is disabled: its pods stay reachable, new ones get no address",
            "set disabled: false, or move the pods to another pool",
            breaks=False,
        )
    return None


def veth(side: Side, end: End) -> Step:
    """The pod's link on its node, with the settings that decide about packets."""
    assert end.endpoint is not None
    name = end.endpoint.interface_name
    owner = f"WorkloadEndpoint({end.endpoint.meta.namespace}/{end.endpoint.meta.name})"
    step = Step(side.name, f"link of {end.title}", f"link {name}", owner)
    if side.facts is None:
        return unseen(side, step)
    link = side.facts.link(name)
    if link is None:
        missing = Finding(
            Fault.LINK_MISSING,
            f"{side.name} has no link {name}: the pod is gone, or never got its network",
            "recreate the pod; if it is gone, delete its endpoint",
        )
        return Step(step.where, step.what, step.kernel, owner, missing)
    finding = first((*_link(side, link, end), neighbour_of_pod(side, end)))
    return Step(step.where, step.what, _link_text(link, end.address.version), owner, finding)


def unseen(side: Side, step: Step) -> Step:
    """A step that would need a look at a node that could not be looked at."""
    note = f"the kernel of {side.name} was not seen: {side.unseen or 'not asked'}"
    return Step(step.where, step.what, step.kernel, step.owner, step.finding, note)


def _link(side: Side, link: LinkFact, end: End) -> tuple[Finding | None, ...]:
    assert end.endpoint is not None
    assert side.facts is not None
    container = end.endpoint.container_id
    another = bool(container and link.alias and container not in link.alias)
    forwards = link.forwarding4 if end.address.version == 4 else link.forwarding6
    switch = "ipv4/ip_forward" if end.address.version == 4 else "ipv6/conf/all/forwarding"
    off = forwards is False or side.facts.sysctls.get(switch) == 0
    return (
        Finding(
            Fault.LINK_OF_ANOTHER,
            f"{link.name} belongs to {link.alias}, and etcd names container {container[:12]}",
            "one of the two pods is stale: recreate the one that does not answer",
        )
        if another
        else None,
        _down(side, link),
        Finding(
            Fault.FORWARDING_OFF,
            f"{side.name} does not forward packets of {link.name} (forwarding is 0)",
            f"is felix running there? sysctl -w net.{switch.replace('/', '.')}=1 helps until then",
        )
        if off
        else None,
    )


def _down(side: Side, link: LinkFact) -> Finding | None:
    if link.up and link.running:
        return None
    end = "its other end, inside the pod, is down or gone" if link.up else "it is set down"
    remedy = "recreate the pod" if link.up else f"ip link set {link.name} up"
    return Finding(Fault.LINK_DOWN, f"{link.name} on {side.name} is down: {end}", remedy)


def neighbour_of_pod(side: Side, end: End) -> Finding | None:
    """Whether the node knows the pod's MAC as it is."""
    assert end.endpoint is not None
    assert side.facts is not None
    link = end.endpoint.interface_name
    known = neighbour(side, link, end)
    return None if known is None else judged(side, known, end.endpoint.mac.lower(), end.title)


def neighbour(side: Side, link: str, end: End) -> NeighbourFact | None:
    """What a node knows of an end on a link."""
    assert side.facts is not None
    entries = side.facts.neighbours
    return next((n for n in entries if (n.link, n.address) == (link, end.address)), None)


def judged(side: Side, known: NeighbourFact, mac: str, whose_mac: str) -> Finding | None:
    """A neighbour entry against the MAC that its owner really has (empty: not known)."""
    remove = f"ip neigh del {known.address} dev {known.link}"
    if known.state in NOT_RESOLVED:
        return Finding(
            Fault.NEIGHBOUR,
            f"{known.address} does not answer {side.name} on {known.link} (neighbour {known.state})",
            f"{remove}; if it comes back, {whose_mac} has not this address or its link is cut",
        )
    if mac and known.mac and known.mac != mac:
        return Finding(
            Fault.NEIGHBOUR,
            f"{side.name} sends to {known.mac} for {known.address} on {known.link} "
            f"({known.state}), and {whose_mac} has {mac}",
            remove,
        )
    return None


def _link_text(link: LinkFact, version: int) -> str:
    on = "up" if link.up else "down"
    forwards = link.forwarding4 if version == 4 else link.forwarding6
    strict = f"rp_filter {link.rp_filter} " if version == 4 else ""
    return (
        f"link {link.name} {on} mtu {link.mtu} {strict}forwarding {int(bool(forwards))} "
        f"alias {link.alias or '-'}"
    )
