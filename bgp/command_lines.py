"""What we tell ExaBGP 5.0.15: announcements, withdrawals, End-of-RIB and route refresh as text.

Next hops are always explicit: `self` means the router id on some sessions. A withdrawal carries
the attributes of the announcement it takes back, because ExaBGP sorts what is pending by
attributes and would otherwise send the two in the wrong order.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bgp.model import Attributes, Family, IPAddress, IPNetwork

MAX_PREFIXES_PER_LINE = 250
"""More gain nothing (measured), and ExaBGP ends a handler whose line passes 1 MiB."""

WELL_KNOWN = frozenset({"no-export", "no-advertise", "no-export-subconfed", "nopeer", "blackhole"})


def announce_line(
    peers: Sequence[IPAddress], attributes: Attributes, prefixes: Sequence[IPNetwork]
) -> str:
    """Announce the prefixes (one family, at most MAX_PREFIXES_PER_LINE) to these peers."""
    return _route_line("announce", peers, attributes, prefixes)


def withdraw_line(
    peers: Sequence[IPAddress], attributes: Attributes, prefixes: Sequence[IPNetwork]
) -> str:
    """Take back what was announced to these peers with exactly these attributes."""
    return _route_line("withdraw", peers, attributes, prefixes)


def eor_line(peer: IPAddress, family: Family) -> str:
    """End-of-RIB (RFC 4724 section 2), sent after what is pending; only to an established peer."""
    return f"neighbor {peer} announce eor {family.value}"


def refresh_line(peer: IPAddress, family: Family) -> str:
    """Ask the peer to send everything again (RFC 2918); only to an established peer."""
    return f"neighbor {peer} announce route-refresh {family.value}"


def _route_line(
    verb: str, peers: Sequence[IPAddress], attributes: Attributes, prefixes: Sequence[IPNetwork]
) -> str:
    assert peers, "a command without peers would reach all of them"
    assert 0 < len(prefixes) <= MAX_PREFIXES_PER_LINE
    named = ", ".join(f"neighbor {peer}" for peer in peers)
    listed = " ".join(map(str, prefixes))
    return f"{named} {verb} attributes {_attributes(attributes)} nlri {listed}"


def _attributes(attributes: Attributes) -> str:
    words = [f"next-hop {attributes.next_hop}"]
    if attributes.as_path:
        words.append(f"as-path [ {' '.join(map(str, attributes.as_path))} ]")
    if attributes.local_preference is not None:
        words.append(f"local-preference {attributes.local_preference}")
    if attributes.med is not None:
        words.append(f"med {attributes.med}")
    words += _community_words(attributes.communities)
    return " ".join(words)


def _community_words(communities: Iterable[str]) -> list[str]:
    """`a:b` and well-known names are communities (RFC 1997), `a:b:c` large ones (RFC 8092)."""
    standard = [text for text in communities if text in WELL_KNOWN or text.count(":") == 1]
    large = [text for text in communities if text.count(":") == 2]
    words = [f"community [ {' '.join(standard)} ]"] if standard else []
    return words + ([f"large-community [ {' '.join(large)} ]"] if large else [])
