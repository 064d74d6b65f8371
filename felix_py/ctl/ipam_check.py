"""`felixctl ipam check`: etcd against itself, and on a node against that node's kernel."""

from __future__ import annotations

import time
from collections.abc import Iterator

from felix_py.ctl import kernel_check, output
from felix_py.ctl.connection import Session
from felix_py.ctl.kernel_check import NodeView, Trouble
from felix_py.datastore.codec import decode
from felix_py.datastore.keys import (
    ASSIGNMENT,
    AffinityKey,
    BlockKey,
    Key,
    ResourceKey,
    affinity_prefix,
    kind_prefix,
    parse,
)
from felix_py.datastore.model import (
    Block,
    BlockAffinity,
    Invalid,
    IPPool,
    Kind,
    NodeName,
    WorkloadEndpoint,
)
from felix_py.datastore.store import Store
from felix_py.datastore.values import Value
from felix_py.kernel.model import MAIN_TABLE
from felix_py.kernel.pod_records import record_of
from felix_py.kernel.pyroute2_kernel import Pyroute2Kernel
from ipam.audit import audit

BETWEEN_LOOKS_SECONDS = 1.0
"""A pod that starts while we look is half there; what both looks show is a fault."""


def check(session: Session, form: output.PlainForm, *, kernel: bool) -> bool:
    """Show what is found; True when nothing is."""
    with session.store() as store:
        result = audit(store)
        found = [
            Trouble(str(each.problem), each.what, each.detail, each.repair)
            for each in result.findings
        ]
        if kernel:
            run_dir = session.settings().node.run_dir
            found += _on_this_node(store, NodeName(session.node_name()), run_dir)
    summary = {
        "addresses": result.addresses,
        "blocks": result.blocks,
        "endpoints": result.endpoints,
        "revision": result.revision,
    }
    if form is output.PlainForm.JSON:
        findings = [
            {"problem": t.problem, "what": t.what, "detail": t.detail, "repair": t.repair}
            for t in found
        ]
        print(output.json_text({**summary, "findings": findings}), end="")
        return not found
    print(
        f"looked at {result.addresses} addresses in {result.blocks} blocks and "
        f"{result.endpoints} endpoints at revision {result.revision}"
    )
    if found:
        rows = [(t.problem, t.what, t.detail, t.repair) for t in found]
        output.table(("PROBLEM", "WHAT", "DETAIL", "WHAT TO DO"), rows)
    else:
        print("nothing is wrong")
    return not found


def _on_this_node(store: Store, me: NodeName, run_dir: str) -> list[Trouble]:
    """What two looks at this host's kernel both show; nothing where the host is no node."""
    if store.get(ResourceKey(Kind.NODE, me).path) is None:
        return []
    with Pyroute2Kernel() as kernel:
        first = kernel_check.compare(_look(store, kernel, me, run_dir))
        if not first:
            return []
        time.sleep(BETWEEN_LOOKS_SECONDS)
        second = kernel_check.compare(_look(store, kernel, me, run_dir))
    return [trouble for trouble in second if trouble in first]


def _look(store: Store, kernel: Pyroute2Kernel, me: NodeName, run_dir: str) -> NodeView:
    links = kernel.links()
    endpoints = (value for _, value in _values(store, kind_prefix(Kind.WORKLOAD_ENDPOINT)))
    pools = (value for _, value in _values(store, kind_prefix(Kind.IP_POOL)))
    return NodeView(
        me=me,
        endpoints=tuple(e for e in endpoints if isinstance(e, WorkloadEndpoint) and e.node == me),
        blocks={
            key.cidr: value
            for key, value in _values(store, ASSIGNMENT)
            if isinstance(key, BlockKey) and isinstance(value, Block)
        },
        affinities={
            key.cidr: value.state
            for key, value in _values(store, affinity_prefix(me))
            if isinstance(key, AffinityKey) and isinstance(value, BlockAffinity)
        },
        pools=tuple(pool.cidr for pool in pools if isinstance(pool, IPPool)),
        routes=kernel.routes(MAIN_TABLE),
        links=links,
        records={link.name: r for link in links if (r := record_of(link, run_dir)) is not None},
    )


def _values(store: Store, prefix: str) -> Iterator[tuple[Key, Value]]:
    for item in store.list(prefix).items:
        key = parse(item.key)
        value = None if key is None else decode(key, item.value)
        if key is not None and value is not None and not isinstance(value, Invalid):
            yield key, value
