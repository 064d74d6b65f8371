"""`felixctl doctor`: collects etcd and examinations, has them judged, shows what to change."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from felix_py.ctl import output, path_store
from felix_py.ctl.calc import doctor_pairs
from felix_py.ctl.calc.checkup import Checkup, Examination, Finding, from_json, to_json
from felix_py.ctl.calc.world import World
from felix_py.ctl.connection import Session
from felix_py.ctl.errors import CommandError
from felix_py.ctl.examine import examine
from felix_py.ctl.remote import AT_ONCE, CouldNotAsk, Remote, Target
from felix_py.datastore.calc.reachability import address_of
from felix_py.datastore.model import NodeName

REMOTE_SECONDS = 120.0
"""Another node's doctor waits for each size that is lost; it is waited for at least so long."""


def doctor(
    session: Session, others: Sequence[str], form: output.PlainForm, *, via: str, everywhere: bool
) -> bool:
    """Show it; True when nothing is wrong."""
    checkup = _checkup(session, _only(others), via, everywhere=everywhere)
    found = doctor_pairs.judge(checkup)
    if form is output.PlainForm.JSON:
        print(output.json_text(_as_json(checkup, found)), end="")
    else:
        _show(checkup, found)
    return not any(finding.wrong for finding in found)


def facts(session: Session, others: Sequence[str]) -> None:
    """Print this node's examination, for another node's doctor."""
    world = _world(session)
    examination = _examine_here(session, world, _only(others))
    sys.stdout.write(to_json(examination).decode() + "\n")


def _checkup(session: Session, only: frozenset[NodeName], via: str, *, everywhere: bool) -> Checkup:
    world = _world(session)
    unknown = sorted(only - world.nodes.keys())
    if unknown:
        raise CommandError(f"{', '.join(unknown)}: no such node")
    me = NodeName(session.node_name())
    here = _examine_here(session, world, only)
    seen, unseen = {me: here}, {}
    if everywhere or via:
        way = session.remote(via)
        remote = Remote(way.template, max(way.seconds, REMOTE_SECONDS))
        names = [name for name in sorted(world.nodes) if name != me and (not only or name in only)]
        arguments = ["felixctl", "doctor", "--facts", *sorted({me, *only} if only else ())]
        with ThreadPoolExecutor(AT_ONCE) as pool:
            answers = pool.map(lambda name: _ask(remote, world, name, arguments), names)
        for name, answer in zip(names, answers, strict=True):
            if isinstance(answer, CouldNotAsk):
                unseen[name] = str(answer)
            else:
                seen[name] = answer
    return Checkup(world, seen, unseen)


def _ask(
    remote: Remote, world: World, name: NodeName, arguments: Sequence[str]
) -> Examination | CouldNotAsk:
    node = world.nodes[name]
    interface = address_of(node, 4) or address_of(node, 6)
    target = Target(name, "" if interface is None else str(interface.ip))
    try:
        found = from_json(remote.run(target, arguments))
        if found.node != name:
            return CouldNotAsk(f"the answer is of node {found.node!r}; correct --via")
    except CouldNotAsk as error:
        return error
    except ValueError as error:
        return CouldNotAsk(f"its answer cannot be read: {error}")
    return found


def _examine_here(session: Session, world: World, only: frozenset[NodeName]) -> Examination:
    me = NodeName(session.node_name())
    if me not in world.nodes:
        raise CommandError(f"{me} is no node of the cluster: run it on a node, or set node.name")
    return examine(world, me, session.settings().node, only - {me})


def _world(session: Session) -> World:
    with session.store() as store:
        world = path_store.fleet(path_store.Reader(store))
        return path_store.with_statuses(world, store, world.nodes)


def _only(others: Sequence[str]) -> frozenset[NodeName]:
    return frozenset(map(NodeName, others))


def _as_json(checkup: Checkup, found: Sequence[Finding]) -> dict[str, Any]:
    return {
        "nodes": sorted(checkup.seen),
        "unseen": dict(sorted(checkup.unseen.items())),
        "findings": [
            {
                "problem": finding.problem.value,
                "node": finding.node,
                "other": finding.other,
                "wrong": finding.wrong,
                "what": finding.what,
                "evidence": finding.evidence,
                "change": finding.change,
            }
            for finding in found
        ],
    }


def _show(checkup: Checkup, found: Sequence[Finding]) -> None:
    probes = sum(len(seen.probes) for seen in checkup.seen.values())
    print(f"looked at {', '.join(sorted(checkup.seen))}: {probes} paths to other nodes")
    for name, why in sorted(checkup.unseen.items()):
        print(f"? {name} was not looked at: {why}")
    for finding in found:
        between = f" to {finding.other}" if finding.other is not None else ""
        mark = "!" if finding.wrong else "-"
        print(f"\n{mark} {finding.node}{between}: {finding.problem.value}: {finding.what}")
        print(f"    seen: {finding.evidence}\n    do:   {finding.change}")
    if not found:
        print("nothing is wrong")
