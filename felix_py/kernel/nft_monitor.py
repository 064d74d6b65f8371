"""What others commit to nftables, by netlink: hints that name the tables touched.

The kernel announces each object of a transaction, and at its end the ruleset's new number (NEWGEN).
Every message but that begins with its table's name. Source: include/uapi/linux/netfilter/nf_tables.h,
net/netfilter/nf_tables_api.c (`nf_tables_commit`).
"""

from __future__ import annotations

import errno
import select
import socket
import struct
import threading
from collections.abc import Callable

import structlog

from felix_py.kernel.conntrack import NETLINK_NETFILTER
from felix_py.kernel.errors import EventsLost, KernelRefused
from felix_py.kernel.netlink_format import Message, attributes, c_string
from felix_py.kernel.netlink_wire import READ_BYTES, NetlinkSocket, open_socket, parts
from felix_py.kernel.nft_model import NftNews, NftTransaction, TableName

log = structlog.get_logger(__name__)

GROUP = 7
"""NFNLGRP_NFTABLES."""
SUBSYSTEM = 10
"""NFNL_SUBSYS_NFTABLES: the upper byte of a message's type."""
NEWGEN, GETGEN = 15, 16
TABLE_NAME, GENERATION = 1, 1
"""Attributes: NFTA_TABLE_NAME (and _CHAIN_TABLE, _RULE_TABLE ...: all are 1), NFTA_GEN_ID."""
ABOUT_RULES = frozenset({0, 2, 3, 5, 6, 8})
"""NFT_MSG_NEW and _DEL of TABLE, CHAIN, RULE: the others are sets, their elements, objects."""
FAMILIES = {1: "inet", 2: "ip", 3: "arp", 5: "netdev", 7: "bridge", 10: "ip6"}
BODY = 16 + 4
"""A netlink and an nfnetlink header: where the attributes start."""
U32_BE = struct.Struct(">I")
MAX_TRANSACTIONS = 256
"""Remembered until the loop looks; more: the news are that some are lost."""
MAX_DATAGRAMS = 20_000
"""Read per call at most; what is left comes with the next call."""
WAIT_SECONDS = 0.5
"""How soon the reader notices that it should stop."""


class GenerationSocket:
    """Asks for the ruleset's number, which every transaction of anybody raises by one."""

    def __init__(self) -> None:
        self._socket: NetlinkSocket | None = None

    def read(self) -> int:
        """The number now. Raises KernelRefused; a kernel without nftables refuses."""
        if self._socket is None:
            try:
                self._socket = NetlinkSocket(NETLINK_NETFILTER, strict=False)
            except OSError as error:
                raise KernelRefused("open nftables", error.errno or errno.EIO) from error
        reply = self._socket.ask(
            "number of the ruleset", [Message(SUBSYSTEM << 8 | GETGEN, 0, bytes(4))]
        )
        found = dict(attributes(reply, BODY))
        if len(found.get(GENERATION, b"")) != 4:
            raise KernelRefused("number of the ruleset", errno.ENODATA)
        return int(U32_BE.unpack(found[GENERATION])[0])

    def close(self) -> None:
        """Let go of the socket; safe to repeat."""
        if self._socket is not None:
            self._socket.close()


class NftMonitor:
    """Reads transactions from one raw socket, in the namespace of the thread that makes it."""

    def __init__(self) -> None:
        self._socket = open_socket(NETLINK_NETFILTER, groups=1 << (GROUP - 1), strict=False)
        self._poll = select.poll()
        self._poll.register(self._socket, select.POLLIN)
        self._tables: set[TableName] = set()
        self._rules_in: set[TableName] = set()

    def next(self, timeout_seconds: float) -> tuple[NftTransaction, ...]:
        """What was committed meanwhile; empty when nothing was in time. Raises EventsLost."""
        found: list[NftTransaction] = []
        if not self._poll.poll(timeout_seconds * 1000):
            return ()
        for _ in range(MAX_DATAGRAMS):
            try:
                data = self._socket.recv(READ_BYTES, socket.MSG_DONTWAIT)
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno == errno.ENOBUFS:
                    raise EventsLost("nftables events were dropped") from error
                raise
            self._look_at(data, found)
        return tuple(found)

    def close(self) -> None:
        """End it; safe to repeat."""
        self._socket.close()

    def _look_at(self, data: bytes, found: list[NftTransaction]) -> None:
        for part in parts(data):
            if part.kind >> 8 != SUBSYSTEM:
                continue
            what = part.kind & 0xFF
            first = next(attributes(part.data[part.start : part.end], BODY), None)
            if first is None or first[0] != TABLE_NAME:
                continue
            if what == NEWGEN:
                generation = int(U32_BE.unpack(first[1])[0])
                found.append(
                    NftTransaction(generation, frozenset(self._tables), frozenset(self._rules_in))
                )
                self._tables, self._rules_in = set(), set()
                continue
            table = FAMILIES.get(part.data[part.start + 16], "?"), c_string(first[1])
            self._tables.add(table)
            if what in ABOUT_RULES:
                self._rules_in.add(table)


class NftReader:
    """The thread that reads transactions and keeps them until the loop takes them; wakes the loop.

    Where the kernel has no nftables it has nothing to tell, and writing the tables says why.
    """

    def __init__(
        self, wake: Callable[[], None], watched: frozenset[TableName] = frozenset()
    ) -> None:
        """watched: tables of which `touched` tells."""
        try:
            self._monitor: NftMonitor | None = NftMonitor()
        except OSError as error:
            log.warning("the kernel tells nothing of nftables", reason=str(error))
            self._monitor = None
        self._wake = wake
        self._lock = threading.Lock()
        self._transactions: list[NftTransaction] = []
        self._lost = False
        self._watched, self._touched = watched, set(watched)

    def touched(self, table: TableName) -> bool:
        """Whether anybody changed this watched table since the last call, or events were lost."""
        with self._lock:
            told = table in self._touched
            self._touched.discard(table)
        return told

    def take(self) -> NftNews:
        """Everything since the last call."""
        with self._lock:
            news = NftNews(tuple(self._transactions), self._lost)
            self._transactions, self._lost = [], False
        return news

    def run(self, stop: threading.Event) -> None:
        """Read until told to stop. After lost events it starts over and says so."""
        try:
            while not stop.is_set():
                if self._monitor is None:
                    stop.wait(WAIT_SECONDS)
                else:
                    self._read_once(self._monitor)
        finally:
            if self._monitor is not None:
                self._monitor.close()

    def _read_once(self, monitor: NftMonitor) -> None:
        try:
            found = monitor.next(WAIT_SECONDS)
            lost = False
        except EventsLost:
            log.warning("nftables events lost, our tables are written again")
            monitor.close()
            self._monitor = NftMonitor()
            found, lost = (), True
        if not found and not lost:
            return
        with self._lock:
            for transaction in found:
                self._touched |= transaction.tables & self._watched
            if lost:
                self._touched |= self._watched
            self._transactions += found
            if len(self._transactions) > MAX_TRANSACTIONS:
                self._transactions, lost = [], True
            self._lost = self._lost or lost
        self._wake()
