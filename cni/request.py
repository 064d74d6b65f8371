"""Pure: the shim's environment and standard input -> a typed, validated request."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from cni import netconf
from cni.errors import BadEnvironment, BadNetworkConfig, IncompatibleVersion
from cni.facts import PodFacts
from cni.netconf import NetConf
from felix_py.datastore.model import HandleId
from felix_py.kernel.ownership import ALIAS_MAX_BYTES

MAX_CONTAINER_ID = 190
MAX_UID = 128
CONTAINER_ID = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.\-]*[A-Za-z0-9_.])?")
IFNAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.\-]{0,13}[A-Za-z0-9_.])?")
POD = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
KNOWN_ARGS = frozenset(
    {
        "IgnoreUnknown",
        "K8S_POD_NAME",
        "K8S_POD_NAMESPACE",
        "K8S_POD_UID",
        "K8S_POD_INFRA_CONTAINER_ID",
        "IP",
        "MAC",
    }
)


class Command(StrEnum):
    """CNI_COMMAND; VERSION is answered by the shim itself."""

    ADD = "ADD"
    DEL = "DEL"
    CHECK = "CHECK"
    STATUS = "STATUS"
    GC = "GC"


@dataclass(frozen=True, slots=True)
class RawRequest:
    """What the shim sent, as text and bytes."""

    command: str
    container_id: str
    netns: str
    ifname: str
    args: str
    stdin: bytes


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod of Kubernetes, as the runtime names it in CNI_ARGS; older runtimes tell no uid."""

    namespace: str
    name: str
    uid: str = ""


@dataclass(frozen=True, slots=True)
class Request:
    """A validated request. `netns` is the path, for the answer; the work is done on the descriptor."""

    command: Command
    container_id: str
    ifname: str
    netns: str
    conf: NetConf
    pod: Pod | None = None
    facts: PodFacts | None = None
    """What Kubernetes itself says of the pod; None: it is not asked."""

    @property
    def handle(self) -> HandleId:
        """Calico's handle of this attachment, and the alias of its link."""
        return HandleId(f"{self.conf.name}.{self.container_id}")


def parse(raw: RawRequest) -> Request:
    """The request. Raises CniError; DEL is refused only if it cannot be understood at all."""
    document = netconf.decode(raw.stdin)
    command = _command(raw.command)
    if command in {Command.STATUS, Command.GC}:
        return Request(command, "", "", "", netconf.parse_identity(document))
    _match("CNI_CONTAINERID", raw.container_id, CONTAINER_ID, MAX_CONTAINER_ID)
    _match("CNI_IFNAME", raw.ifname, IFNAME, 15)
    args = _args(raw.args, strict=command is not Command.DEL)
    if command is Command.DEL:
        conf = netconf.parse_identity(document)
    else:
        conf = _with_args(netconf.parse(document), args)
        _check_chain(command, conf)
    request = Request(command, raw.container_id, raw.ifname, raw.netns, conf, _pod(args))
    if len(request.handle) > ALIAS_MAX_BYTES:
        raise BadEnvironment(
            f"CNI_CONTAINERID: with the network's name it is longer than {ALIAS_MAX_BYTES} bytes"
        )
    return request


def _command(text: str) -> Command:
    try:
        return Command(text)
    except ValueError:
        raise BadEnvironment(f"CNI_COMMAND: {text!r} is not a command of CNI") from None


def _check_chain(command: Command, conf: NetConf) -> None:
    if command is Command.ADD and conf.prev_result is not None:
        raise BadNetworkConfig("prevResult: felix-py must be the first plugin of the list")
    if command is Command.CHECK:
        if conf.cni_version == "0.3.1":
            raise IncompatibleVersion("cniVersion: 0.3.1 has no CHECK; use 0.4.0 or 1.0.0")
        if conf.prev_result is None:
            raise BadNetworkConfig("prevResult: missing; CHECK compares with it")


def _match(name: str, text: str, pattern: re.Pattern[str], longest: int) -> None:
    if len(text) > longest or not pattern.fullmatch(text):
        raise BadEnvironment(f"{name}: {text[:80]!r} must be 1-{longest} of {pattern.pattern}")


def _args(text: str, *, strict: bool) -> Mapping[str, str]:
    args: dict[str, str] = {}
    for pair in text.split(";"):
        if not pair:
            continue
        name, equals, value = pair.partition("=")
        if equals:
            args[name] = value
        elif strict:
            raise BadEnvironment(f"CNI_ARGS: {pair[:80]!r} is not KEY=VALUE")
    lenient = args.get("IgnoreUnknown", "").lower() in {"1", "true"}
    unknown = sorted(set(args) - KNOWN_ARGS)
    if unknown and strict and not lenient:
        raise BadEnvironment(f"CNI_ARGS: unknown {unknown[0][:80]!r}; set IgnoreUnknown=1")
    return args


def _with_args(conf: NetConf, args: Mapping[str, str]) -> NetConf:
    """IP= and MAC= of CNI_ARGS, for what the configuration itself does not say."""
    texts = tuple(part for part in args.get("IP", "").split(",") if part)
    return replace(
        conf,
        addresses=conf.addresses or netconf.parse_addresses("CNI_ARGS IP", texts),
        mac=conf.mac or netconf.parse_mac("CNI_ARGS MAC", args.get("MAC", "")),
    )


def _pod(args: Mapping[str, str]) -> Pod | None:
    namespace, name = args.get("K8S_POD_NAMESPACE", ""), args.get("K8S_POD_NAME", "")
    if not namespace and not name:
        return None
    _match("CNI_ARGS K8S_POD_NAMESPACE", namespace, NAMESPACE, 63)
    _match("CNI_ARGS K8S_POD_NAME", name, POD, 253)
    return Pod(namespace, name, args.get("K8S_POD_UID", "")[:MAX_UID])
