"""What a CNI request can end with, as the specification's error codes (CNI spec 1.0.0, "Error")."""

from __future__ import annotations

from felix_py.datastore.errors import NotTheWriter, StoreRefused
from felix_py.kernel.errors import KernelRefused
from felix_py.runtime.errors import RefusedError, StaleError, TransientError
from ipam.errors import (
    AddressTaken,
    BadRequest,
    BlockLimitReached,
    NoQualifiedPool,
    NotInPool,
    NotYours,
    PoolExhausted,
)

TRY_AGAIN = 11
UNEXPECTED = 999

OUR_CODES: tuple[tuple[type[Exception], int], ...] = (
    (OSError, 5),
    (BadRequest, 7),
    (NoQualifiedPool, 100),
    (PoolExhausted, 101),
    (BlockLimitReached, 102),
    (AddressTaken, 103),
    (NotInPool, 104),
    (NotYours, 105),
    (StoreRefused, 110),
    (NotTheWriter, 111),
    (KernelRefused, 120),
)
"""OSError: a disk that is full. Codes from 100 on are the plugin's own; docs/cni.md explains them."""


class CniError(RefusedError):
    """A request that is answered with one of the specification's codes."""

    code = UNEXPECTED


class IncompatibleVersion(CniError):
    """cniVersion is missing or one that we do not speak, or has no such command."""

    code = 1


class UnsupportedField(CniError):
    """The configuration asks for what we do not serve."""

    code = 2


class UnknownContainer(CniError):
    """The container's namespace or interface does not exist (any more)."""

    code = 3


class BadEnvironment(CniError):
    """A CNI_* variable is missing or malformed; the text names it."""

    code = 4


class BrokenFrame(CniError):
    """What came through the socket is no request of the shim."""

    code = 5


class NotDecoded(CniError):
    """Standard input is not the JSON object that it must be."""

    code = 6


class BadNetworkConfig(CniError):
    """A field of the configuration has a value that cannot be served; the text names it."""

    code = 7


class BadAnnotation(BadNetworkConfig):
    """An annotation of the pod or its namespace cannot be meant; the text names it."""


class NotAvailable(CniError):
    """STATUS: this node cannot serve ADD now."""

    code = 50


class LinkTaken(CniError):
    """The host side's name belongs to another container, or to somebody else altogether."""

    code = 121


class CheckFailed(CniError):
    """CHECK found the container's network not as ADD left it; the text says what differs."""

    code = 130


class PodGone(StaleError):
    """The pod that the runtime asks for is not in Kubernetes, or another one of its name is."""


class TryAgain(TransientError):
    """Nothing is wrong with the request; this node cannot serve it at this moment."""


def code_of(error: Exception) -> int:
    """The code that a runtime gets for this error."""
    if isinstance(error, CniError):
        return error.code
    for kind, code in OUR_CODES:
        if isinstance(error, kind):
            return code
    return TRY_AGAIN if isinstance(error, TransientError | StaleError) else UNEXPECTED
