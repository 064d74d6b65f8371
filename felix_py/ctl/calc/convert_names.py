"""Names of Calico's API v1 as v3 allows them. Pure.

Reference: Calico v3.32.1 `libcalico-go/lib/upgrade/converters/names.go`.
"""

from __future__ import annotations

import hashlib
import re
from ipaddress import ip_address

_OTHER = re.compile(r"[^-.a-z0-9]+")
_DOTTED = re.compile(r"[.-]*[.][.-]*")
_OLD_NAMESPACE = "k8s_ns."


def node_name(name: str) -> str:
    """Lower case, `/` as a dot, others as dashes, no dots or dashes at the ends; never qualified."""
    lower = _OTHER.sub("-", name.lower().replace("/", "."))
    return _DOTTED.sub(".", lower).strip(".-")


def plain_name(name: str) -> str:
    """The same with a part of its hash where it had to be changed, so that two stay two."""
    return _qualified(name, node_name(name))


def dotless_name(name: str) -> str:
    """The same without dots."""
    return _qualified(name, node_name(name).replace(".", "-"))


def profile_name(name: str) -> str:
    """A namespace's profile was called k8s_ns.<namespace>."""
    if name.startswith(_OLD_NAMESPACE):
        name = f"kns.{name.removeprefix(_OLD_NAMESPACE)}"
    return plain_name(name)


def ip_name(text: str) -> str:
    """An address with dashes, IPv6 with all its zeros."""
    address = ip_address(text)
    return address.exploded.replace(":", "-").replace(".", "-")


def _qualified(old: str, new: str) -> str:
    if old == new:
        return old
    return f"{new}-{hashlib.sha1(old.encode(), usedforsecurity=False).hexdigest()[:8]}"
