"""Single fields of Calico's values: text to typed values, with an error that names the field.

Rules: Calico v3.32.1 `libcalico-go/lib/validator/v3/validator.go`, scalars `api/pkg/lib/numorstring`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import Enum
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    ip_address,
    ip_interface,
    ip_network,
)
from typing import TypeVar

from felix_py.datastore import selectors
from felix_py.datastore.model import AsNumber, IPAddress, IPInterface, IPNetwork

MAX_AS_NUMBER = 2**32 - 1

_PLAIN_V4 = re.compile(r"(0|[1-9]\d{0,2})" + r"\.(0|[1-9]\d{0,2})" * 3 + r"(?:/(\d\d?))?", re.ASCII)
"""What a list of 100,000 endpoints is made of; the standard library takes ten times as long."""
_ALL_32 = 2**32 - 1
_MAC = re.compile(r"[0-9a-fA-F]{2}([:-][0-9a-fA-F]{2}){5}|[0-9a-fA-F]{4}(\.[0-9a-fA-F]{4}){2}")
_INTERFACE = re.compile(r"[a-zA-Z0-9_.-]{1,15}")
_CONTAINER_ID = re.compile(r"[a-zA-Z0-9]([a-zA-Z0-9_.-]*[a-zA-Z0-9_.])?")
_DURATION_PART = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)", re.ASCII)
_UNIT_SECONDS = {
    "ns": 1e-9,
    "us": 1e-6,
    "µs": 1e-6,
    "μs": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
}
_HOST_AND_PORT = re.compile(r"\[([0-9a-fA-F:.]+)\]:([0-9]{1,5})|([0-9.]+):([0-9]{1,5})", re.ASCII)

E = TypeVar("E", bound=Enum)


class BadField(Exception):
    """A value that the codec answers as Invalid: the field's path and what to do about it."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")


def address(field: str, text: str) -> IPAddress:
    """An address of either version, without prefix or zone."""
    try:
        found = ip_address(text)
    except ValueError:
        raise BadField(field, f"{text!r} is not an IP address; write it as 10.0.0.1") from None
    if getattr(found, "scope_id", None):
        raise BadField(field, f"{text!r} has a zone; write the address alone")
    return found


def address_v4(field: str, text: str) -> IPv4Address | None:
    """An IPv4 address; empty is None."""
    found = address(field, text) if text else None
    if isinstance(found, IPv6Address):
        raise BadField(field, f"{text!r} is not IPv4; write an IPv4 address")
    return found


def address_v6(field: str, text: str) -> IPv6Address | None:
    """An IPv6 address; empty is None."""
    found = address(field, text) if text else None
    if isinstance(found, IPv4Address):
        raise BadField(field, f"{text!r} is not IPv6; write an IPv6 address")
    return found


def masked_network(field: str, text: str) -> IPNetwork:
    """A network without host bits; a bare address is its /32 or /128 (validator tag `net`)."""
    quick = _PLAIN_V4.fullmatch(text)
    if quick is not None:
        a, b, c, d, length = quick.groups("32")
        number = int(a) << 24 | int(b) << 16 | int(c) << 8 | int(d)
        bits = int(length)
        if (
            max(int(a), int(b), int(c), int(d)) < 256
            and bits <= 32
            and not number << bits & _ALL_32
        ):
            return IPv4Network((number, bits))
    found = network(field, text)
    if _interface(field, text).ip != found.network_address:
        raise BadField(field, f"{text!r} has host bits; write it as {found}")
    return found


def network(field: str, text: str) -> IPNetwork:
    """A network whose host bits are ignored, or a bare address (validator tag `cidr`)."""
    return ip_network(_interface(field, text).network)


def interface_v4(field: str, text: str) -> IPv4Interface | None:
    """An IPv4 address with its prefix, a bare one is /32; empty is None."""
    found = _interface(field, text) if text else None
    if isinstance(found, IPv6Interface):
        raise BadField(field, f"{text!r} is not IPv4; write it as 192.0.2.1/24")
    return found


def interface_v6(field: str, text: str) -> IPv6Interface | None:
    """An IPv6 address with its prefix, a bare one is /128; empty is None."""
    found = _interface(field, text) if text else None
    if isinstance(found, IPv4Interface):
        raise BadField(field, f"{text!r} is not IPv6; write it as 2001:db8::1/64")
    return found


def as_number(field: str, value: int | str | None) -> AsNumber | None:
    """0-4294967295, also as text and as dotted `high.low` (numorstring.ASNumber)."""
    if value is None or value == "":
        return None
    number = _as_from_text(value) if isinstance(value, str) else value
    if not 0 <= number <= MAX_AS_NUMBER:
        raise BadField(field, f"{value!r} is not an AS number; write 0 to {MAX_AS_NUMBER}")
    return AsNumber(number)


def peer_address(field: str, text: str) -> tuple[IPAddress, int | None]:
    """`ip`, `ip:port` or `[v6]:port` (BGPPeer.spec.peerIP)."""
    match = _HOST_AND_PORT.fullmatch(text)
    if match is None:
        return address(field, text), None
    host, port = match[1] or match[3], int(match[2] or match[4])
    found = address(field, host)
    if (found.version == 6) != bool(match[1]):
        raise BadField(field, f"{text!r}: write ip:port for IPv4 and [ip]:port for IPv6")
    return found, in_range(field, port, 1, 65535)


def in_range(field: str, number: int, lowest: int, highest: int) -> int:
    """The number, when it is between these two."""
    if not lowest <= number <= highest:
        raise BadField(field, f"{number} is out of range; write {lowest} to {highest}")
    return number


def choice(field: str, text: str, enum: type[E], default: E) -> E:
    """One of an enum's values; empty is the default."""
    if not text:
        return default
    try:
        return enum(text)
    except ValueError:
        known = ", ".join(str(member.value) for member in enum)
        raise BadField(field, f"{text!r} is unknown; write one of: {known}") from None


def one_of(field: str, text: str, known: Iterable[str]) -> str:
    """One of these words; the first when empty."""
    words = tuple(known)
    if text and text not in words:
        raise BadField(field, f"{text!r} is unknown; write one of: {', '.join(words)}")
    return text or words[0]


def selector(field: str, text: str) -> str:
    """A selector's text, when it parses."""
    try:
        selectors.parse(text)
    except selectors.SelectorError as error:
        raise BadField(field, str(error)) from None
    return text


def duration_seconds(field: str, text: str | None) -> int | None:
    """Go's duration text (`1m30s`) in whole seconds, rounded down; None and empty are None."""
    if not text:
        return None
    parts = list(_DURATION_PART.finditer(text))
    if text != "0" and (not parts or "".join(part[0] for part in parts) != text):
        raise BadField(field, f"{text!r} is not a duration; write it as 1m30s")
    return int(sum(float(part[1]) * _UNIT_SECONDS[part[2]] for part in parts))


def mac(field: str, text: str) -> str:
    """A MAC address as Go's net.ParseMAC reads 6 bytes; empty stays empty."""
    return _matching(field, text, _MAC, "a MAC address; write it as 0e:65:ab:cd:ef:01")


def interface_name(field: str, text: str) -> str:
    """A Linux interface name; empty stays empty."""
    if text in {".", ".."}:
        raise BadField(field, f"{text!r} is not an interface name; choose another")
    return _matching(field, text, _INTERFACE, "an interface name; write 1-15 of a-zA-Z0-9_.-")


def container_id(field: str, text: str) -> str:
    """What CNI 1.0 allows, but no `-` at the end; empty stays empty.

    Calico's validator knows no `.` and `_`, but containerd's `ctr` calls its containers `k8s.io-web`.
    """
    return _matching(field, text, _CONTAINER_ID, "a container id; write it with a-zA-Z0-9_.-")


def required(field: str, text: str) -> str:
    """Any text but the empty one."""
    if not text:
        raise BadField(field, "is missing; set it")
    return text


def _matching(field: str, text: str, pattern: re.Pattern[str], what: str) -> str:
    if text and not pattern.fullmatch(text):
        raise BadField(field, f"{text!r} is not {what}")
    return text


def _interface(field: str, text: str) -> IPInterface:
    try:
        return ip_interface(_without_netmask(text))
    except ValueError:
        problem = f"{text!r} is not an address or CIDR; write it as 10.0.0.0/24"
        raise BadField(field, problem) from None


def _without_netmask(text: str) -> str:
    """Go reads only prefix lengths, Python also `/255.0.0.0` and zones: refuse those."""
    _, slash, length = text.partition("/")
    if (slash and not (length.isascii() and length.isdigit())) or "%" in text:
        raise ValueError
    return text


def _as_from_text(text: str) -> int:
    high, dot, low = text.partition(".")
    parts = (high, low) if dot else (high,)
    if not all(part.isascii() and part.isdigit() and len(part) <= 10 for part in parts):
        return -1
    numbers = [int(part) for part in parts]
    if dot:
        return numbers[0] * 65536 + numbers[1] if max(numbers) < 65536 else -1
    return numbers[0]
