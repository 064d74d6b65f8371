"""Queueing disciplines and filters as netlink messages: pure packing.

Source: Linux's include/uapi/linux/{rtnetlink,pkt_sched,pkt_cls}.h, tc_act/tc_mirred.h; net/sched/sch_tbf.c.
With the link layer named, the kernel needs no rate tables.
"""

from __future__ import annotations

import struct

from felix_py.kernel.link_batch import IFLA_INFO_DATA
from felix_py.kernel.link_dump import IFLA_IFNAME, IFLA_INFO_KIND, IFLA_LINKINFO, IFLA_MTU
from felix_py.kernel.netlink_format import (
    AF_UNSPEC,
    CREATE,
    EXCL,
    IFINFO,
    NEWLINK,
    REPLACE,
    Message,
    attribute,
    nested,
    number,
    text,
)
from felix_py.kernel.ownership import QOS_HANDLE, QOS_PRIORITY
from felix_py.kernel.qdisc_model import Bucket

NEWQDISC, DELQDISC, GETQDISC = 36, 37, 38
NEWTFILTER, DELTFILTER, GETTFILTER = 44, 45, 46

TCMSG = struct.Struct("=BxHiIII")
"""tcmsg: family, padding, link, handle, parent, info."""
RATESPEC = struct.Struct("=BBHhHI")
"""tc_ratespec: cell log, link layer, overhead, cell align, mpu, bytes per second."""
TBF = struct.Struct("=III")
"""The end of tc_tbf_qopt: limit, buffer, mtu (both in ticks)."""
MIRRED = struct.Struct("=IIiiiiI")
"""tc_mirred: index, capabilities, action, references, bindings; what to do, to which link."""

TCA_KIND, TCA_OPTIONS = 1, 2
TBF_PARMS, TBF_RATE64, TBF_PRATE64, TBF_BURST, TBF_PBURST = 1, 4, 5, 6, 7
U32_SEL, U32_ACT = 5, 7
ACT_KIND, ACT_OPTIONS = 1, 2
MIRRED_PARMS = 2

ROOT = 0xFFFFFFFF
INGRESS_PARENT = 0xFFFFFFF1
"""Where an ingress or clsact qdisc hangs."""
INGRESS_HANDLE = 0xFFFF0000
FILTERS_IN = 0xFFFFFFF2
"""The parent of filters for packets that come in, below either of them."""
ETHERNET = 1
ALL_PROTOCOLS = 0x0300
"""ETH_P_ALL in network order."""
STOLEN, EGRESS_REDIRECT = 4, 1
MATCH_ALL = struct.pack("=BBBxHHhhI", 1, 0, 1, 0, 0, 0, 0, 0) + bytes(16)
"""tc_u32_sel: terminal, one key whose mask is 0."""
U32_MAX = 2**32 - 1


def qdisc_dump_request() -> Message:
    """Ask for every qdisc of every link."""
    return Message(GETQDISC, 0, TCMSG.pack(AF_UNSPEC, 0, 0, 0, 0, 0))


def filter_dump_request(ifindex: int) -> Message:
    """Ask for the filters of a link for packets that come in."""
    return Message(GETTFILTER, 0, TCMSG.pack(AF_UNSPEC, 0, ifindex, 0, FILTERS_IN, 0))


def put_bucket(ifindex: int, bucket: Bucket, *, replaces_ours: bool) -> Message:
    """Our token bucket at a link's root. Exclusive, unless ours stands there: then it is changed."""
    parms = b"".join(
        (
            RATESPEC.pack(0, ETHERNET, 0, 0, 0, min(bucket.rate, U32_MAX)),
            RATESPEC.pack(0, ETHERNET, 0, 0, 0, min(bucket.peak_rate, U32_MAX)),
            TBF.pack(bucket.limit, 0, 0),
        )
    )
    options = [attribute(TBF_PARMS, parms), number(TBF_BURST, bucket.burst)]
    if bucket.rate > U32_MAX:
        options.append(_long(TBF_RATE64, bucket.rate))
    if bucket.peak_rate:
        options.append(number(TBF_PBURST, bucket.min_burst))
    if bucket.peak_rate > U32_MAX:
        options.append(_long(TBF_PRATE64, bucket.peak_rate))
    body = TCMSG.pack(AF_UNSPEC, 0, ifindex, QOS_HANDLE, ROOT, 0)
    body += text(TCA_KIND, "tbf") + nested(TCA_OPTIONS, *options)
    return Message(NEWQDISC, CREATE | (REPLACE if replaces_ours else EXCL), body)


def drop_bucket(ifindex: int) -> Message:
    """Take our qdisc from a link's root; the kernel's own default comes back."""
    return Message(DELQDISC, 0, TCMSG.pack(AF_UNSPEC, 0, ifindex, QOS_HANDLE, ROOT, 0))


def put_ingress(ifindex: int) -> Message:
    """An ingress qdisc, exclusively: filters for what comes in hang below it."""
    body = TCMSG.pack(AF_UNSPEC, 0, ifindex, INGRESS_HANDLE, INGRESS_PARENT, 0)
    return Message(NEWQDISC, CREATE | EXCL, body + text(TCA_KIND, "ingress"))


def drop_ingress(ifindex: int) -> Message:
    """Take the ingress qdisc away, with all filters below it."""
    body = TCMSG.pack(AF_UNSPEC, 0, ifindex, INGRESS_HANDLE, INGRESS_PARENT, 0)
    return Message(DELQDISC, 0, body)


def put_redirect(ifindex: int, target: int) -> Message:
    """Everything that comes in on a link goes out by another one first: our filter, exclusively."""
    mirred = MIRRED.pack(0, 0, STOLEN, 0, 0, EGRESS_REDIRECT, target)
    action = nested(
        1, text(ACT_KIND, "mirred"), nested(ACT_OPTIONS, attribute(MIRRED_PARMS, mirred))
    )
    body = TCMSG.pack(AF_UNSPEC, 0, ifindex, 0, FILTERS_IN, QOS_PRIORITY << 16 | ALL_PROTOCOLS)
    options = nested(TCA_OPTIONS, attribute(U32_SEL, MATCH_ALL), nested(U32_ACT, action))
    return Message(NEWTFILTER, CREATE | EXCL, body + text(TCA_KIND, "u32") + options)


def drop_redirect(ifindex: int) -> Message:
    """Take all filters of our priority away."""
    info = QOS_PRIORITY << 16 | ALL_PROTOCOLS
    return Message(DELTFILTER, 0, TCMSG.pack(AF_UNSPEC, 0, ifindex, 0, FILTERS_IN, info))


def create_ifb(name: str, mtu: int) -> Message:
    """A link whose only use is that a queue can stand on it; down."""
    info = nested(IFLA_LINKINFO, attribute(IFLA_INFO_KIND, b"ifb"), nested(IFLA_INFO_DATA))
    body = IFINFO.pack(AF_UNSPEC, 0, 0, 0, 0) + text(IFLA_IFNAME, name)
    return Message(NEWLINK, CREATE | EXCL, body + number(IFLA_MTU, mtu) + info)


def _long(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack("=Q", value))
