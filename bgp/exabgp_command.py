"""How ExaBGP is started: its own program, without the look-up of this host's full name.

ExaBGP asks for that name whenever it starts, to warn that the answer takes long: where the host's own
name is in no hosts file and the name server does not answer, it takes 6.5 s (measured), on every start
and every check of a configuration. It is used for a capability that we do not announce.
Standard library alone: part of the launcher.
"""

from __future__ import annotations

PROGRAM = (
    "import runpy, socket; "
    "socket.getfqdn = lambda name='': name or socket.gethostname(); "
    "runpy.run_module('exabgp', run_name='__main__', alter_sys=True)"
)


def command(python: str, *arguments: str) -> list[str]:
    """`exabgp <arguments>` by this interpreter; to be started in a directory without modules."""
    return [python, "-c", PROGRAM, *arguments]
