"""Pure: what a BGPPeer says whoever asks: its families, and whether it is served at all."""

from __future__ import annotations

from bgp.model import Family
from felix_py.datastore.model_bgp import BGPPeer

FAMILIES = "felix-py.io/families"
"""Annotation of a BGPPeer with an address: `ipv4,ipv6` lets its session carry both families. Calico's
sessions carry the family of their address, and so do all that say nothing. Next hops stay addresses of
the route's own family: a peer that answers by RFC 8950 (IPv4 with an IPv6 next hop) is not used."""
_FAMILIES = {family.value.split()[0]: family for family in Family}


def families_of(peer: BGPPeer) -> tuple[tuple[Family, ...], str | None]:
    """Both families when the peer's session shall carry both, else (); or what is wrong there."""
    text = peer.meta.annotations.get(FAMILIES)
    if text is None:
        return (), None
    named = [word.strip() for word in text.split(",")]
    own = "" if peer.peer_ip is None else f"ipv{peer.peer_ip.version}"
    if not set(named) <= _FAMILIES.keys() or (own and own not in named):
        return (), f"annotation {FAMILIES}: {text!r}: write ipv4,ipv6, or leave it out"
    return (tuple(Family) if len(set(named)) == len(_FAMILIES) else ()), None


def not_served(peer: BGPPeer) -> str | None:
    """Why a BGPPeer gets no session at all; without its filters a session would say too much."""
    if peer.filters:
        return f"spec.filters {', '.join(peer.filters)}: BGPFilter is not served; remove them"
    if peer.peer_ip is None and not peer.peer_selector:
        return "neither spec.peerIP nor spec.peerSelector; localWorkloadSelector is not served"
    return None


def name_of(peer: BGPPeer) -> str:
    """Where its sessions come from, for people."""
    return f"BGPPeer {peer.meta.name}"
