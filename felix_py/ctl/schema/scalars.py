"""Calico's scalars: durations, ports, protocols, AS numbers, networks, names.

Reference: Calico v3.32.1 `api/pkg/lib/numorstring`, `libcalico-go/lib/validator/v3`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from felix_py.ctl.schema.shape import Shape, Text
from felix_py.datastore import codec_fields as fields
from felix_py.datastore.codec_fields import BadField
from felix_py.datastore.model import IPNetwork

PROTOCOLS = ("TCP", "UDP", "ICMP", "ICMPv6", "SCTP", "UDPLite")
DNS_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
NAME_PART = r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
LABEL_NAME = re.compile(rf"([a-z0-9.-]{{1,253}}/)?{NAME_PART}")
LABEL_VALUE = re.compile(rf"({NAME_PART})?")

_DURATION_PART = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)", re.ASCII)
_NANOSECONDS = {
    "ns": 1,
    "us": 10**3,
    "µs": 10**3,
    "μs": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}
_PORT_RANGE = re.compile(r"([0-9]{1,5}):([0-9]{1,5})", re.ASCII)
_PORT_NAME = re.compile(r"[a-zA-Z0-9_.-]{1,128}")
_COMMUNITY = re.compile(
    r"([0-9]{1,5}):([0-9]{1,5})|([0-9]{1,10}):([0-9]{1,10}):([0-9]{1,10})", re.ASCII
)


@dataclass(frozen=True, slots=True)
class Duration(Shape):
    """Go's duration text, written back as Go does: 90s is 1m30s."""

    def read(self, path: str, value: object) -> object:
        """The text in Go's form."""
        if not isinstance(value, str) or not value:
            raise BadField(path, f"{value!r} is not a duration; write it as 1m30s")
        parts = list(_DURATION_PART.finditer(value))
        if value != "0" and (not parts or "".join(part[0] for part in parts) != value):
            raise BadField(path, f"{value!r} is not a duration; write it as 1m30s")
        return duration_text(int(sum(Fraction(part[1]) * _NANOSECONDS[part[2]] for part in parts)))


def duration_text(nanoseconds: int) -> str:
    """As Go's time.Duration.String writes it."""
    if nanoseconds == 0:
        return "0s"
    for unit, size in (("ns", 1), ("µs", 10**3), ("ms", 10**6)):
        if nanoseconds < size * 1000:
            return f"{_decimal(nanoseconds, size)}{unit}"
    seconds, rest = nanoseconds % (60 * 10**9), nanoseconds // (60 * 10**9)
    text = f"{_decimal(seconds, 10**9)}s"
    if rest:
        text = f"{rest % 60}m{text}"
    return f"{rest // 60}h{text}" if rest >= 60 else text


def _decimal(number: int, unit: int) -> str:
    whole, rest = divmod(number, unit)
    digits = str(rest).rjust(len(str(unit)) - 1, "0").rstrip("0")
    return f"{whole}.{digits}" if rest else str(whole)


@dataclass(frozen=True, slots=True)
class AsNumber(Shape):
    """An AS number, written back as a number; a plain Go field leaves 0 out."""

    omits_zero: bool = False

    def read(self, path: str, value: object) -> object:
        """The number."""
        if not isinstance(value, int | str) or isinstance(value, bool):
            raise BadField(path, f"{value!r} is not an AS number; write it as 64512")
        return fields.as_number(path, value) or 0

    def omits(self, value: object) -> bool:
        """Go's omitempty."""
        return self.omits_zero and value == 0


@dataclass(frozen=True, slots=True)
class Port(Shape):
    """A port, a range `low:high`, or (`named`) an endpoint port's name."""

    named: bool = True
    lowest: int = 1

    def read(self, path: str, value: object) -> object:
        """A number for one port, else text."""
        if isinstance(value, bool) or not isinstance(value, int | str):
            raise BadField(path, f"{value!r} is not a port; write 80, 8000:8100 or a port's name")
        text = str(value)
        match = _PORT_RANGE.fullmatch(text)
        if match or (text.isascii() and text.isdigit()):
            low, high = (int(match[1]), int(match[2])) if match else (int(text), int(text))
            if not self.lowest <= low <= high <= 65535:
                raise BadField(path, f"{value!r} is out of range; write {self.lowest} to 65535")
            return low if low == high else f"{low}:{high}"
        if not self.named or not _PORT_NAME.fullmatch(text):
            raise BadField(path, f"{value!r} is not a port; write 80 or 8000:8100")
        return text


@dataclass(frozen=True, slots=True)
class Protocol(Shape):
    """A protocol by Calico's name or by number."""

    def read(self, path: str, value: object) -> object:
        """The name or the number."""
        number = int(value) if isinstance(value, str) and value.isdecimal() else value
        known = (
            number in PROTOCOLS
            if isinstance(number, str)
            else (isinstance(number, int) and not isinstance(number, bool) and 1 <= number <= 255)
        )
        if not known:
            raise BadField(path, f"{value!r} is unknown; write {', '.join(PROTOCOLS)} or 1 to 255")
        return number


def real_network(path: str, text: str) -> IPNetwork:
    """A network without host bits and with its length (rule nets: parsed twice by Calico)."""
    if "/" not in text:
        bits = fields.address(path, text).max_prefixlen
        raise BadField(path, f"{text!r} has no prefix length; write {text}/{bits}")
    return fields.masked_network(path, text)


def dns_name(path: str, text: str) -> None:
    """A DNS-1123 subdomain."""
    if not DNS_NAME.fullmatch(text) or len(text) > 253:
        raise BadField(path, f"{text!r}: write lower case letters, digits, '-' and '.'")


def dns_label(path: str, text: str) -> None:
    """A DNS-1123 label."""
    if not DNS_LABEL.fullmatch(text) or len(text) > 63:
        raise BadField(path, f"{text!r}: write at most 63 lower case letters, digits and '-'")


def label(path: str, name: str, value: str) -> None:
    """One label of Kubernetes' syntax."""
    if not LABEL_NAME.fullmatch(name) or not LABEL_VALUE.fullmatch(value):
        raise BadField(path, f"{name}={value} is not a label; see the syntax of Kubernetes labels")


def expression(path: str, text: str) -> None:
    """A regular expression."""
    try:
        re.compile(text)
    except re.error as error:
        raise BadField(path, f"{text!r} is not a regular expression: {error}") from None


def community(path: str, text: str) -> None:
    """A community's value, `aa:nn` of 16 bits or `aa:nn:mm` of 32."""
    match = _COMMUNITY.fullmatch(text)
    highest = 65535 if text.count(":") == 1 else 2**32 - 1
    if match is None or any(int(part) > highest for part in text.split(":")):
        raise BadField(path, f"{text!r} is not a community; write aa:nn or aa:nn:mm")


NAME = Text(dns_name)
SELECTOR = Text(fields.selector)
REAL_NETWORK = Text(real_network)
MASKED_NETWORK = Text(fields.masked_network)
NETWORK = Text(fields.network)
ADDRESS = Text(fields.address)
