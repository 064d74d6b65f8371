"""What the nodes tell one another of an audit: a document under a key of ours. Pure.

One node looks at all of etcd and writes it; each node takes from it what concerns its own pods, because it
alone sees which of them live.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address

from felix_py.datastore.keys import parse
from felix_py.datastore.model import HandleId, IPAddress
from ipam.findings import Finding, Problem, Subject

MOST_TOLD = 200
"""Findings in one report; the rest is counted, and comes when these are put right."""


@dataclass(frozen=True, slots=True)
class Aged:
    """A finding and for how long it has stood unchanged."""

    finding: Finding
    seconds: int


@dataclass(frozen=True, slots=True)
class Report:
    """Who looked, how often, at which revision, and what was found."""

    leader: str = ""
    looks: int = 0
    revision: int = 0
    at: str = ""
    found: tuple[Aged, ...] = ()
    untold: int = 0
    mended: int = 0
    """Findings put right by this leader since it leads."""


def encode(report: Report) -> bytes:
    """As it is stored; leases of pods first, so that their nodes see them."""
    leaks_first = sorted(report.found, key=lambda each: each.finding.problem is not Problem.LEAKED)
    told = leaks_first[:MOST_TOLD]
    document = {
        "leader": report.leader,
        "looks": report.looks,
        "revision": report.revision,
        "at": report.at,
        "findings": [_told(each) for each in told],
        "untold": report.untold + len(leaks_first) - len(told),
        "mended": report.mended,
    }
    return json.dumps(document, separators=(",", ":")).encode()


def decode(raw: bytes) -> Report | None:
    """None: not one of ours. Findings that cannot be read are left out."""
    try:
        document = json.loads(raw)
        report = Report(
            leader=str(document["leader"]),
            looks=int(document["looks"]),
            revision=int(document["revision"]),
            at=str(document.get("at", "")),
            untold=int(document.get("untold", 0)),
            mended=int(document.get("mended", 0)),
        )
        listed = list(document.get("findings", ()))
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    found = tuple(aged for each in listed[:MOST_TOLD] if (aged := _aged(each)) is not None)
    return replace(report, found=found)


def shown(found: Sequence[Aged]) -> list[dict[str, object]]:
    """For a status document."""
    return [
        {
            "problem": str(each.finding.problem),
            "what": each.finding.what,
            "detail": each.finding.detail,
            "seconds": each.seconds,
        }
        for each in found
    ]


def _told(each: Aged) -> dict[str, object]:
    finding, subject = each.finding, each.finding.subject
    return {
        "problem": str(finding.problem),
        "what": finding.what,
        "detail": finding.detail,
        "repair": finding.repair,
        "seconds": each.seconds,
        "key": subject.key.path if subject.key else "",
        "revision": subject.revision,
        "address": "" if subject.address is None else str(subject.address),
        "handle": subject.handle_id or "",
        "namespace": subject.namespace,
        "node": subject.node,
    }


def _aged(told: object) -> Aged | None:
    if not isinstance(told, dict):
        return None
    try:
        subject = Subject(
            parse(str(told["key"])) if told["key"] else None,
            int(told["revision"]),
            _address(str(told["address"])),
            HandleId(str(told["handle"])) if told["handle"] else None,
            str(told["namespace"]),
            str(told["node"]),
        )
        problem = Problem(told["problem"])
        what, detail, repair = (str(told[name]) for name in ("what", "detail", "repair"))
        return Aged(Finding(problem, what, detail, repair, subject), int(told["seconds"]))
    except (ValueError, KeyError, TypeError):
        return None


def _address(text: str) -> IPAddress | None:
    return ip_address(text) if text else None
