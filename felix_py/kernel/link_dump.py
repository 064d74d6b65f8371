"""Links and addresses as the kernel tells them: message bytes to Link and Address. Pure.

The settings come from IFLA_AF_SPEC, which carries every `conf` value of both families: all of
LinkSettings but proxy_delay, which belongs to the neighbour tables.
"""

from __future__ import annotations

from ipaddress import ip_interface

from felix_py.kernel.model import Address, Link, LinkSettings, Scope
from felix_py.kernel.netlink_format import (
    AF_INET,
    AF_INET6,
    AF_UNSPEC,
    GETADDR,
    GETLINK,
    IFADDR,
    IFINFO,
    S32,
    U32,
    Message,
    address,
    attributes,
    c_string,
    number,
    text,
)

IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_LINKINFO, IFLA_IFALIAS = 1, 3, 4, 18, 20
IFLA_AF_SPEC, IFLA_EXT_MASK = 26, 29
IFLA_INFO_KIND = 1
RTEXT_FILTER_SKIP_STATS = 8
IFF_UP, IFF_RUNNING = 0x1, 0x40
IFLA_INET_CONF = 1
IFLA_INET6_CONF = 2
IPV4_FORWARDING, IPV4_PROXY_ARP, IPV4_RP_FILTER, IPV4_ROUTE_LOCALNET = 1, 3, 8, 26
"""IPV4_DEVCONF_*: counted from one; the dump is an array that starts with the first."""
IPV6_FORWARDING, IPV6_ACCEPT_RA, IPV6_PROXY_NDP = 0, 3, 22
"""DEVCONF_*: counted from zero."""

IFA_ADDRESS, IFA_LOCAL, IFA_FLAGS = 1, 2, 8
IFA_F_SECONDARY, IFA_F_DEPRECATED, IFA_F_TENTATIVE = 0x01, 0x20, 0x40
BODY = 16
"""Length of a netlink header: where the body starts."""

_SCOPES = {scope.value: scope for scope in Scope}


def link_dump_request() -> Message:
    """Ask for every link, without statistics."""
    return Message(GETLINK, 0, IFINFO.pack(AF_UNSPEC, 0, 0, 0, 0) + _NO_STATISTICS)


def link_request(name: str) -> Message:
    """Ask for the link of this name."""
    body = IFINFO.pack(AF_UNSPEC, 0, 0, 0, 0) + text(IFLA_IFNAME, name)
    return Message(GETLINK, 0, body + _NO_STATISTICS)


def address_dump_request() -> Message:
    """Ask for every address of both families."""
    return Message(GETADDR, 0, IFADDR.pack(AF_UNSPEC, 0, 0, 0, 0))


def read_link(data: bytes, start: int, end: int) -> Link:
    """The link of one message."""
    _, _, index, flags, _ = IFINFO.unpack_from(data, start + BODY)
    found = dict(attributes(data[start:end], BODY + IFINFO.size))
    info = dict(attributes(found.get(IFLA_LINKINFO, b""), 0))
    return Link(
        index=index,
        name=c_string(found.get(IFLA_IFNAME, b"")),
        kind=c_string(info.get(IFLA_INFO_KIND, b"")),
        alias=c_string(found.get(IFLA_IFALIAS, b"")),
        mac=found.get(IFLA_ADDRESS, b"").hex(":"),
        mtu=U32.unpack(found[IFLA_MTU])[0] if IFLA_MTU in found else 0,
        up=bool(flags & IFF_UP),
        running=bool(flags & IFF_RUNNING),
        settings=_settings(found.get(IFLA_AF_SPEC, b"")),
    )


def read_address(data: bytes, start: int, end: int) -> Address:
    """The address of one message. Behind a point-to-point peer it is the local one that counts."""
    _, length, flags, scope, index = IFADDR.unpack_from(data, start + BODY)
    found = dict(attributes(data[start:end], BODY + IFADDR.size))
    if IFA_FLAGS in found:
        flags = U32.unpack(found[IFA_FLAGS])[0]
    packed = found.get(IFA_LOCAL) or found[IFA_ADDRESS]
    return Address(
        ifindex=index,
        interface=ip_interface(f"{address(packed)}/{length}"),
        scope=_SCOPES.get(scope, Scope.UNIVERSE),
        deprecated=bool(flags & IFA_F_DEPRECATED),
        tentative=bool(flags & IFA_F_TENTATIVE),
        secondary=bool(flags & IFA_F_SECONDARY),
    )


def _settings(spec: bytes) -> LinkSettings:
    families = dict(attributes(spec, 0))
    four = dict(attributes(families.get(AF_INET, b""), 0)).get(IFLA_INET_CONF, b"")
    six = dict(attributes(families.get(AF_INET6, b""), 0)).get(IFLA_INET6_CONF, b"")
    return LinkSettings(
        forwarding4=_switch(_at(four, IPV4_FORWARDING - 1)),
        proxy_arp=_switch(_at(four, IPV4_PROXY_ARP - 1)),
        rp_filter=_at(four, IPV4_RP_FILTER - 1),
        route_localnet=_switch(_at(four, IPV4_ROUTE_LOCALNET - 1)),
        forwarding6=_switch(_at(six, IPV6_FORWARDING)),
        accept_ra=_at(six, IPV6_ACCEPT_RA),
        proxy_ndp=_switch(_at(six, IPV6_PROXY_NDP)),
    )


def _at(array: bytes, index: int) -> int | None:
    value: int
    if len(array) < 4 * index + 4:
        return None
    (value,) = S32.unpack_from(array, 4 * index)
    return value


def _switch(value: int | None) -> bool | None:
    return None if value is None else bool(value)


_NO_STATISTICS = number(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS)
