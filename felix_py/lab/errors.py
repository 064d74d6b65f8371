"""What can go wrong in the lab: always something a person can act on."""

from __future__ import annotations

from felix_py.runtime.errors import RefusedError


class LabError(RefusedError):
    """The lab cannot do it; the text says which thing, why, and where to look."""
