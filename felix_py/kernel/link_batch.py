"""Links, addresses and neighbours as netlink messages: pure packing, CNI's hot path.

Shapes that the kernel asks for: a veth created with IFF_UP in the same request fails with
ENOTCONN; an alias in the creating request is ignored; flags are applied before IFLA_AF_SPEC, so
what must stand before a link comes up travels in a message of its own.
"""

from __future__ import annotations

from felix_py.kernel.link_dump import (
    IFA_ADDRESS,
    IFA_FLAGS,
    IFA_LOCAL,
    IFF_UP,
    IFLA_ADDRESS,
    IFLA_AF_SPEC,
    IFLA_IFALIAS,
    IFLA_IFNAME,
    IFLA_INET_CONF,
    IFLA_INFO_KIND,
    IFLA_LINKINFO,
    IFLA_MTU,
    IPV4_FORWARDING,
    IPV4_PROXY_ARP,
    IPV4_RP_FILTER,
)
from felix_py.kernel.model import IPInterface, LinkSettings, VethSpec
from felix_py.kernel.netlink_format import (
    AF_INET,
    AF_INET6,
    AF_UNSPEC,
    CREATE,
    DELLINK,
    EXCL,
    FAMILY,
    IFADDR,
    IFINFO,
    NDMSG,
    NEWADDR,
    NEWLINK,
    NEWNEIGH,
    REPLACE,
    SETLINK,
    Message,
    attribute,
    mac,
    nested,
    number,
    text,
)

IFLA_GROUP, IFLA_NET_NS_FD = 27, 28
IFLA_INFO_DATA, VETH_INFO_PEER = 2, 1
IFLA_INET6_ADDR_GEN_MODE, ADDR_GEN_NONE = 8, 1
IFA_F_NODAD = 0x02
NDA_DST, NDA_LLADDR, NUD_PERMANENT = 1, 2, 0x80
SCOPE_LINK = 253


def create_veth(spec: VethSpec, pod_namespace_fd: int) -> Message:
    """A pair, both ends down: one here, its peer at once inside the pod's namespace."""
    here = text(IFLA_IFNAME, spec.host_name) + number(IFLA_MTU, spec.mtu)
    peer = [
        IFINFO.pack(AF_UNSPEC, 0, 0, 0, 0),
        text(IFLA_IFNAME, spec.pod_name),
        number(IFLA_MTU, spec.mtu),
        number(IFLA_NET_NS_FD, pod_namespace_fd),
    ]
    if spec.pod_mac is not None:
        peer.append(mac(IFLA_ADDRESS, spec.pod_mac))
    info = nested(
        IFLA_LINKINFO,
        attribute(IFLA_INFO_KIND, b"veth"),
        nested(IFLA_INFO_DATA, nested(VETH_INFO_PEER, *peer)),
    )
    body = IFINFO.pack(AF_UNSPEC, 0, 0, 0, 0) + here + mac(IFLA_ADDRESS, spec.host_mac) + info
    return Message(NEWLINK, CREATE | EXCL, body)


def set_link(
    index: int,
    *,
    up: bool | None = None,
    mtu: int | None = None,
    alias: str | None = None,
    group: int | None = None,
    settings: LinkSettings | None = None,
) -> Message:
    """Change what is given; of the settings only those of the first group travel by netlink."""
    change = 0 if up is None else IFF_UP
    chunks = [IFINFO.pack(AF_UNSPEC, 0, index, IFF_UP if up else 0, change)]
    if mtu is not None:
        chunks.append(number(IFLA_MTU, mtu))
    if alias is not None:
        chunks.append(attribute(IFLA_IFALIAS, alias.encode()))
    if group is not None:
        chunks.append(number(IFLA_GROUP, group))
    conf = _conf(settings) if settings is not None else b""
    if conf:
        chunks.append(nested(IFLA_AF_SPEC, nested(AF_INET, nested(IFLA_INET_CONF, conf))))
    return Message(SETLINK, 0, b"".join(chunks))


def no_link_local(index: int) -> Message:
    """IPv6 makes no link-local address by itself (addr_gen_mode none); refused without IPv6."""
    mode = nested(
        IFLA_AF_SPEC, nested(AF_INET6, attribute(IFLA_INET6_ADDR_GEN_MODE, bytes([ADDR_GEN_NONE])))
    )
    return Message(SETLINK, 0, IFINFO.pack(AF_UNSPEC, 0, index, 0, 0) + mode)


def delete_link(index: int) -> Message:
    """Delete one link (and so its veth peer)."""
    return Message(DELLINK, 0, IFINFO.pack(AF_UNSPEC, 0, index, 0, 0))


def delete_group(group: int) -> Message:
    """Delete every link of a group in one go: they share the wait for RCU."""
    return Message(DELLINK, 0, IFINFO.pack(AF_UNSPEC, 0, 0, 0, 0) + number(IFLA_GROUP, group))


def put_address(index: int, interface: IPInterface, scope: int = 0) -> Message:
    """An address, usable at once: IPv6 without duplicate address detection."""
    packed = interface.ip.packed
    six = interface.version == 6
    header = IFADDR.pack(
        FAMILY[interface.version],
        interface.network.prefixlen,
        IFA_F_NODAD if six else 0,
        scope,
        index,
    )
    flags = number(IFA_FLAGS, IFA_F_NODAD) if six else b""
    body = header + attribute(IFA_LOCAL, packed) + attribute(IFA_ADDRESS, packed) + flags
    return Message(NEWADDR, CREATE | REPLACE, body)


def put_neighbour(index: int, address: bytes, link_address: str) -> Message:
    """A permanent neighbour; `address` packed, 4 or 16 bytes."""
    family = AF_INET if len(address) == 4 else AF_INET6
    body = NDMSG.pack(family, index, NUD_PERMANENT, 0, 0)
    body += attribute(NDA_DST, address) + mac(NDA_LLADDR, link_address)
    return Message(NEWNEIGH, CREATE | REPLACE, body)


def _conf(settings: LinkSettings) -> bytes:
    wanted = (
        (IPV4_FORWARDING, settings.forwarding4),
        (IPV4_PROXY_ARP, settings.proxy_arp),
        (IPV4_RP_FILTER, settings.rp_filter),
    )
    return b"".join(number(kind, int(value)) for kind, value in wanted if value is not None)
