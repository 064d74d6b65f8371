"""Prefixes and addresses as received, made and hashed ten times faster than ipaddress does.

A full table is 50,000 prefixes, each looked up in some twenty dictionaries on its way to the kernel;
ipaddress computes a hash anew each time. These are ipaddress's own types, equal to plain ones
and with the same hash, which is remembered.
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from bgp.model import Family, IPAddress, IPNetwork

REMEMBERED_PREFIXES = 1 << 17
"""Prefixes made once; of more the oldest are made anew when they come again."""
REMEMBERED_ADDRESSES = 1 << 12

_BITS4 = tuple(0xFFFFFFFF >> (32 - n) << (32 - n) for n in range(33))
_MASKS4 = tuple(IPv4Address(bits) for bits in _BITS4)
_LENGTHS4 = {str(length): length for length in range(33)}
_OCTETS = {str(octet): octet for octet in range(256)}


class Address4(IPv4Address):
    """An IPv4 address that remembers its hash."""

    __slots__ = ("_hash",)

    def __init__(self, address: str | int) -> None:
        super().__init__(address)
        self._hash = super().__hash__()

    def __hash__(self) -> int:
        return self._hash


class Address6(IPv6Address):
    """An IPv6 address that remembers its hash."""

    __slots__ = ("_hash",)

    def __init__(self, address: str | int) -> None:
        super().__init__(address)
        self._hash = super().__hash__()

    def __hash__(self) -> int:
        return self._hash


class Prefix4(IPv4Network):
    """An IPv4 network that remembers its hash."""

    def __init__(self, address: object, strict: bool = True) -> None:  # noqa: FBT001, FBT002
        super().__init__(address, strict)
        self._hash = super().__hash__()

    @classmethod
    def of(cls, first: int, length: int) -> Prefix4:
        """The network that begins at this address, whose host bits are known to be zero."""
        made = cls.__new__(cls)
        made.network_address = address = IPv4Address.__new__(IPv4Address)
        address._ip = first  # type: ignore[attr-defined]  # noqa: SLF001  as its own __init__ does
        made.netmask = _MASKS4[length]
        made._prefixlen = length  # type: ignore[attr-defined]  # noqa: SLF001  ours to fill
        made._hash = hash(first ^ _BITS4[length])  # noqa: SLF001
        return made

    def __hash__(self) -> int:
        return self._hash


class Prefix6(IPv6Network):
    """An IPv6 network that remembers its hash."""

    def __init__(self, address: object, strict: bool = True) -> None:  # noqa: FBT001, FBT002
        super().__init__(address, strict)
        self._hash = super().__hash__()

    def __hash__(self) -> int:
        return self._hash


@lru_cache(maxsize=REMEMBERED_ADDRESSES)
def address(text: str) -> IPAddress:
    """The address that this text means. Raises ValueError."""
    return Address6(text) if ":" in text else Address4(text)


@lru_cache(maxsize=REMEMBERED_PREFIXES)
def prefix4(text: str) -> IPNetwork:
    """The IPv4 network that this text means. Raises ValueError."""
    first, _, length_text = text.partition("/")
    try:
        one, two, three, four = first.split(".")
        number = _OCTETS[one] << 24 | _OCTETS[two] << 16 | _OCTETS[three] << 8 | _OCTETS[four]
        length = _LENGTHS4[length_text]
    except (KeyError, ValueError):
        return Prefix4(text)  # says what is wrong, or knows a spelling that we do not
    if number & (0xFFFFFFFF >> length):
        return Prefix4(text)
    return Prefix4.of(number, length)


@lru_cache(maxsize=REMEMBERED_PREFIXES)
def prefix6(text: str) -> IPNetwork:
    """The IPv6 network that this text means. Raises ValueError."""
    return Prefix6(text)


PREFIX_OF = {Family.IPV4: prefix4, Family.IPV6: prefix6}


def prefix(text: str, family: Family) -> IPNetwork:
    """The network that this text means, of this family. Raises ValueError."""
    return PREFIX_OF[family](text)
