"""What can go wrong with the kernel, in the runtime's three kinds."""

from __future__ import annotations

import errno as errno_names

from felix_py.runtime.errors import FelixPyError, TransientError


class KernelRefused(FelixPyError):
    """The kernel answered with an errno. Compare `errno`, never the text.

    `why` is the kernel's own sentence (extended acknowledgement), empty when it gave none.
    """

    def __init__(self, doing: str, errno: int, why: str = "") -> None:
        name = errno_names.errorcode.get(errno, str(errno))
        super().__init__(f"{doing}: {name} ({why})" if why else f"{doing}: {name}")
        self.doing = doing
        self.errno = errno
        self.why = why


class DumpInterrupted(TransientError):
    """A dump was torn by a concurrent change (NLM_F_DUMP_INTR) and must be read again."""


class EventsLost(TransientError):
    """The kernel dropped netlink events (ENOBUFS): list everything again."""
