"""The commands about a packet's way: what a node holds of it, and where it ends."""

from __future__ import annotations

import sys
from ipaddress import ip_address
from typing import Annotated

import typer

from felix_py.ctl import explain as explain_verb
from felix_py.ctl import node_facts, output
from felix_py.ctl.calc.facts import Asked, NodeFacts, encode
from felix_py.ctl.errors import CommandError
from felix_py.kernel.model import IPAddress

PlainOutput = Annotated[output.PlainForm, typer.Option("-o", "--output")]


def facts(
    context: typer.Context,
    flow: Annotated[list[str] | None, typer.Option(help="FROM,TO: a packet; repeatable")] = None,
    about: Annotated[list[str] | None, typer.Option(help="an address; repeatable")] = None,
    link: Annotated[list[str] | None, typer.Option(help="a pod's link; repeatable")] = None,
    form: PlainOutput = output.PlainForm.TABLE,
) -> None:
    """What this node's kernel and daemons hold, also of packets and addresses named."""
    flows = [tuple(map(_address, text.split(","))) for text in flow or []]
    pairs = [each for each in flows if len(each) == 2 and each[0].version == each[1].version]
    if len(pairs) != len(flows):
        raise CommandError("--flow: give FROM,TO, two addresses of one family")
    asked = Asked(
        tuple((source, destination) for source, destination in pairs),
        tuple(map(_address, about or [])),
        tuple(link or []),
    )
    session = context.obj
    found = node_facts.collect(session.node_name(), session.settings().node, asked)
    if form is output.PlainForm.JSON:
        sys.stdout.write(encode(found).decode() + "\n")
    else:
        _show(found)


def explain(  # noqa: PLR0913  the options of a command
    context: typer.Context,
    source: Annotated[str, typer.Argument(metavar="POD")],
    destination: Annotated[str, typer.Argument(metavar="POD|IP")],
    namespace: Annotated[str, typer.Option("-n", "--namespace", help="of pods by name")] = "",
    via: Annotated[str, typer.Option(help='how to reach other nodes: "ssh {node}"')] = "",
    form: PlainOutput = output.PlainForm.TABLE,
    *,
    ipv6: Annotated[bool, typer.Option("-6", help="IPv6, where pods have both")] = False,
) -> None:
    """Walk a packet's way there and back; exit status 2 when something is wrong, which is named."""
    question = explain_verb.Question(source, destination, namespace, 6 if ipv6 else 0)
    if not explain_verb.explain(context.obj, question, via, form):
        raise typer.Exit(output.SOMETHING_IS_WRONG)


def register(app: typer.Typer) -> None:
    """Add them to felixctl."""
    app.command("facts")(facts)
    app.command("explain")(explain)


def _address(text: str) -> IPAddress:
    try:
        return ip_address(text)
    except ValueError:
        raise CommandError(f"{text!r} is not an IP address") from None


def _show(found: NodeFacts) -> None:
    print(f"node {found.node}\n")
    addresses: dict[str, list[str]] = {}
    for each in found.addresses:
        addresses.setdefault(each.link, []).append(str(each.interface))
    output.table(
        ("LINK", "KIND", "UP", "MTU", "RP_FILTER", "ADDRESSES"),
        [
            (
                link.name,
                link.kind or "-",
                "yes" if link.up else "no",
                str(link.mtu),
                "-" if link.rp_filter is None else str(link.rp_filter),
                " ".join(addresses.get(link.name, ())) or "-",
            )
            for link in found.links
        ],
    )
    print()
    output.table(("SETTING", "VALUE"), [(k, str(v)) for k, v in sorted(found.sysctls.items())])
    for text in found.unseen:
        print(f"? {text}")
