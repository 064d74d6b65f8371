"""`felixctl explain POD POD|IP`: collects etcd and the nodes' facts, has them judged, shows the way."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import Any

from felix_py.ctl import node_facts, output, path_store
from felix_py.ctl.calc import explain as judge
from felix_py.ctl.calc.facts import Asked, NodeFacts
from felix_py.ctl.calc.path import Explanation, Step
from felix_py.ctl.calc.world import End, World, addresses_of
from felix_py.ctl.connection import Session
from felix_py.ctl.errors import CommandError
from felix_py.ctl.remote import CouldNotAsk, Target
from felix_py.datastore.calc.reachability import address_of
from felix_py.datastore.keys import ResourceKey
from felix_py.datastore.model import IPAddress, Node, NodeName, WorkloadEndpoint


@dataclass(frozen=True, slots=True)
class Question:
    """What the user asks. `family`: 4 or 6 for pods that have both, 0: IPv4 first."""

    source: str
    destination: str
    namespace: str = ""
    family: int = 0


def explain(session: Session, question: Question, via: str, form: output.PlainForm) -> bool:
    """Show it; True when nothing is wrong."""
    found = _judged(session, question, via)
    if form is output.PlainForm.JSON:
        print(output.json_text(as_json(found)), end="")
    else:
        _show(found)
    return found.fault is None


def _judged(session: Session, question: Question, via: str) -> Explanation:
    with session.store() as store:
        reader = path_store.Reader(store)
        endpoints = path_store.endpoints(reader)
        (source, chosen), (destination, other) = _addresses(question, endpoints)
        world = path_store.read(reader, endpoints, (source, destination))
        start, end = world.end(source, chosen), world.end(destination, other)
        if start.node is None:
            raise CommandError(f"{question.source}: no node has this address; give a pod")
        nodes = list(dict.fromkeys(node for node in (start.node, end.node) if node is not None))
        world = path_store.with_statuses(world, store, nodes)
    asked = _asked(world, start, end)
    return judge.explain(_with_facts(session, world, nodes, asked, via), start, end)


def _addresses(
    question: Question, endpoints: dict[ResourceKey, WorkloadEndpoint]
) -> list[tuple[IPAddress, ResourceKey | None]]:
    """Both ends' addresses, of one family, with the endpoint where a pod was named."""
    texts = (question.source, question.destination)
    given = [_given(text) for text in texts]
    version = question.family or next((a.version for a in given if a is not None), 0)
    found: list[tuple[IPAddress, ResourceKey | None]] = []
    pods = [
        None if address else path_store.named(endpoints, text, question.namespace)
        for text, address in zip(texts, given, strict=True)
    ]
    version = version or _common_version([pod[1] for pod in pods if pod is not None])
    for text, address, pod in zip(texts, given, pods, strict=True):
        if pod is not None:
            of_family = [net for net in pod[1].networks if net.version == version]
            if not of_family:
                raise CommandError(f"{text} has no IPv{version} address")
            found.append((of_family[0].network_address, pod[0]))
        elif address is not None:
            if address.version != version:
                raise CommandError(f"{text} is no IPv{version} address")
            found.append((address, None))
    return found


def _common_version(pods: list[WorkloadEndpoint]) -> int:
    versions = [{net.version for net in pod.networks} for pod in pods]
    common = set.intersection(*versions) if versions else set()
    return min(common, default=4)


def _given(text: str) -> IPAddress | None:
    with suppress(ValueError):
        return ip_address(text)
    return None


def _asked(world: World, start: End, end: End) -> Asked:
    """Both directions, and the addresses of the nodes concerned."""
    concerned = [
        world.nodes[n] for n in (start.node, end.node) if n is not None and n in world.nodes
    ]
    about = dict.fromkeys(address for node in concerned for address in addresses_of(node))
    flows = ((start.address, end.address), (end.address, start.address))
    links = dict.fromkeys((*judge.asked_links(start), *judge.asked_links(end)))
    return Asked(flows, tuple(about), tuple(links))


def _with_facts(
    session: Session, world: World, nodes: list[NodeName], asked: Asked, via: str
) -> World:
    """The kernels: this node's directly, others' by the configured way."""
    me = session.node_name()
    settings = session.settings().node
    facts: dict[NodeName, NodeFacts] = {}
    unseen: dict[NodeName, str] = {}
    others = [Target(name, _address_text(world.nodes.get(name))) for name in nodes if name != me]
    for name, found in session.remote(via).all_facts(others, asked).items():
        if isinstance(found, CouldNotAsk):
            unseen[NodeName(name)] = str(found)
        else:
            facts[NodeName(name)] = found
    if me in nodes:
        facts[NodeName(me)] = node_facts.collect(me, settings, asked)
    return replace(world, facts=facts, unseen=unseen)


def _address_text(node: Node | None) -> str:
    found = None if node is None else address_of(node, 4) or address_of(node, 6)
    return "" if found is None else str(found.ip)


def as_json(found: Explanation) -> dict[str, Any]:
    """What `-o json` shows; `fault` is null on a healthy path."""
    fault = found.fault
    return {
        "source": found.source,
        "destination": found.destination,
        "kind": found.kind,
        "steps": [_step(step) for step in found.steps],
        "fault": None if fault is None else _step(fault),
    }


def _step(step: Step) -> dict[str, Any]:
    finding = step.finding
    return {
        "where": step.where,
        "what": step.what,
        "kernel": step.kernel,
        "owner": step.owner,
        "note": step.note,
        "fault": None
        if finding is None
        else {
            "name": finding.fault.value,
            "text": finding.text,
            "do": finding.remedy,
            "losesPackets": finding.breaks,
        },
    }


def _show(found: Explanation) -> None:
    print(f"{found.source} to {found.destination}: {found.kind}\n")
    width = max(len(step.where) for step in found.steps)
    for step in found.steps:
        mark = "!" if step.finding is not None else "?" if step.note else " "
        print(f"{mark} {step.where:<{width}}  {step.what}")
        for label, text in (("kernel", step.kernel), ("owner", step.owner)):
            if text:
                print(f"  {'':<{width}}    {label}: {text}")
    print()
    for note in dict.fromkeys(step.note for step in found.steps if step.note):
        print(f"? {note}")
    for line in _verdict(found):
        print(line)


def _verdict(found: Explanation) -> Iterator[str]:
    step = found.fault
    if step is None or step.finding is None:
        yield "nothing is wrong with what was seen"
        return
    yield f"! {step.where}: {step.finding.fault.value}: {step.finding.text}"
    yield f"  what to do: {step.finding.remedy}"
    if not step.finding.breaks:
        yield "  packets get through all the same, or most of them"
