"""A cluster so small that nearly every address and block is contested."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

NODES = ("a", "b", "c")
HANDLES = tuple(f"net.c{number}" for number in range(6))
POOLS = {"big": ("10.0.0.0/28", 30), "small": ("10.0.1.0/30", 32), "six": ("fd00::/125", 127)}
"""Blocks of four, of a single address, and of two at first: few enough that they are all in use soon."""
SIZES = {"big": (28, 29, 30, 31, 32), "small": (30, 31, 32), "six": (125, 126, 127, 128)}
RESERVATIONS = ("10.0.0.5/32", "10.0.0.8/30", "10.0.1.1/32", "fd00::2/127")
ALL: dict[int, tuple[str, ...]] = {
    version: tuple(
        str(address)
        for cidr, _ in POOLS.values()
        for address in ip_network(cidr)
        if address.version == version
    )
    for version in (4, 6)
}


def pool_of(address: str) -> str:
    """The pool in which an address lies."""
    return next(p for p, (cidr, _) in POOLS.items() if ip_address(address) in ip_network(cidr))
