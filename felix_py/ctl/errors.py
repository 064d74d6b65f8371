"""What felixctl answers with a sentence and a status other than 0."""

from __future__ import annotations

from felix_py.runtime.errors import RefusedError


class CommandError(RefusedError):
    """One sentence for the user: the object, the field, what to do. Exit status 1."""


class NotThere(CommandError):
    """The object asked for does not exist."""


class Conflict(CommandError):
    """Somebody else changed the object meanwhile."""
