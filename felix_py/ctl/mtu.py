"""`felixctl mtu`: what felix finds right, which pods have another MTU, and putting that right.

Setting both ends needs the pod's namespace. felixctl does it itself, with the rights of whoever calls
it: no daemon needs a request for it, and where a namespace lies is proved, not believed (veth_peer).
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial

from felix_py.agent.calc.pod_mtu import Misfit, misfits
from felix_py.ctl import output
from felix_py.ctl.connection import Session
from felix_py.ctl.errors import CommandError
from felix_py.kernel import mtu_file
from felix_py.kernel.errors import KernelRefused
from felix_py.kernel.model import Link
from felix_py.kernel.pod_records import PodRecord, record_of
from felix_py.kernel.pyroute2_kernel import Pyroute2Kernel
from felix_py.kernel.veth_peer import pair_of

SMALLEST_WITH_IPV6 = 1280
"""Below it the kernel takes IPv6 and its addresses off a link (RFC 8200)."""
_REASONS = {
    errno.ESRCH: "its namespace has no name on this host; recreate the pod",
    errno.ENODEV: "it is gone, or is not the pod's any more",
    errno.EPERM: "not permitted; be root, in the host's own namespaces",
}


def show(session: Session, form: output.PlainForm) -> bool:
    """What is right here and which pods differ; True when no pod's packets are lost."""
    right = _right(session)
    found = misfits(_links(), right, _records(session))
    if form is output.PlainForm.JSON:
        pods = [_as_json(misfit) for misfit in found]
        print(output.json_text({"pod": right, "pods": pods}), end="")
    else:
        print(f"pods' MTU {right}")
        found.sort(key=lambda misfit: (misfit.pod, misfit.link))
        rows = [(m.pod, m.link, str(m.mtu), m.words.split("; ", 1)[1]) for m in found]
        if rows:
            output.table(("POD", "LINK", "MTU", "WHAT TO DO"), rows)
        else:
            print("every pod has it")
    return not any(misfit.too_large for misfit in found)


def fix(session: Session, names: Sequence[str]) -> Iterator[str]:
    """Set both ends of the links that differ, of these pods or of all; a line for each.

    Raises CommandError at the end when one could not be set, or a name names no pod.
    """
    right = _right(session)
    failed = 0
    for link, record in _chosen(session, names):
        if record.mtu:
            if link.mtu != right:
                yield f"{record.title}: left at {link.mtu}, which configuration fixed"
            continue
        try:
            before = _set(link, record, right)
        except KernelRefused as refused:
            failed += 1
            yield f"{record.title} on {link.name}: {_REASONS.get(refused.errno, refused)}"
            continue
        if before is not None:
            yield f"{record.title} on {link.name}: MTU {before} -> {right}"
    if failed:
        raise CommandError(f"{failed} pods could not be set")


def _set(link: Link, record: PodRecord, right: int) -> int | None:
    """What the pair had; None when both ends were right already."""
    if right < SMALLEST_WITH_IPV6 and any(net.version == 6 for net in record.networks):
        raise KernelRefused(f"an MTU below {SMALLEST_WITH_IPV6} with IPv6", errno.EINVAL)
    with pair_of(link.name, record.handle, record.netns) as pair:
        before = pair.mtu
        if before.host == before.pod == right:
            return None
        pair.set_mtu(right)
        return before.pod


def _chosen(session: Session, names: Sequence[str]) -> list[tuple[Link, PodRecord]]:
    records = _records(session)
    known = ((link, record) for link in _links() if (record := records(link)) is not None)
    found = sorted(known, key=lambda each: (each[1].title, each[0].name))
    if not names:
        return found
    unknown = set(names) - {name for each in found for name in _names(*each)}
    if unknown:
        raise CommandError(f"no pod of this node is called {', '.join(sorted(unknown))}")
    return [each for each in found if set(names) & set(_names(*each))]


def _names(link: Link, record: PodRecord) -> Iterable[str]:
    return (record.title, record.container_id, link.name)


def _right(session: Session) -> int:
    state_dir = session.settings().node.state_dir
    right = mtu_file.read(state_dir)
    if right is None:
        path = mtu_file.mtu_path(state_dir)
        raise CommandError(
            f"{path}: felix has not found this node's MTU yet; see `felixctl status`"
        )
    return right


def _records(session: Session) -> Callable[[Link], PodRecord | None]:
    return partial(record_of, run_dir=session.settings().node.run_dir)


def _links() -> tuple[Link, ...]:
    with Pyroute2Kernel() as kernel:
        return kernel.links()


def _as_json(misfit: Misfit) -> Mapping[str, object]:
    return {
        "pod": misfit.pod,
        "link": misfit.link,
        "mtu": misfit.mtu,
        "right": misfit.right,
        "fixed": misfit.fixed,
        "tooLarge": misfit.too_large,
    }
