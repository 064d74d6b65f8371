"""The three kinds of errors every package's own errors belong to."""

from __future__ import annotations


class FelixPyError(Exception):
    """Whatever we raise on purpose."""


class TransientError(FelixPyError):
    """A lost race, a torn dump, etcd away: try again, a bounded number of times."""


class RefusedError(FelixPyError):
    """Bad input, a pool exhausted: tell the user, do not retry."""


class StaleError(FelixPyError):
    """The world moved on: drop this and look again."""
