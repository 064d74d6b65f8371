"""The version that daemons and felixctl show; setup.cfg says the same (tested)."""

from __future__ import annotations

VERSION = "0.1.0"
