"""What can keep an installation from going on."""

from __future__ import annotations

from felix_py.runtime.errors import RefusedError, TransientError


class BadConfiguration(RefusedError):
    """A value of the ConfigMap cannot be used; the text names its field."""


class NotYet(TransientError):
    """Something that others bring is not there yet: wait and look again."""
