"""Why an image was not built: always something a person can act on."""

from __future__ import annotations

from felix_py.runtime.errors import RefusedError


class ImageError(RefusedError):
    """The text says which thing, why, and what to do."""
