"""structlog set-up: one processor list for all daemons."""

from __future__ import annotations

import logging
import sys
from typing import Literal

import msgspec
import structlog

LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}


class LogSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """The `log` section of the configuration."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """Events below this level are not written."""
    form: Literal["json", "text"] = "json"
    """One JSON object per line, or text for people."""


def set_up(daemon: str, settings: LogSettings) -> None:
    """Write events to stderr in the form asked for, each with the daemon's name."""
    renderer: structlog.typing.Processor = structlog.processors.JSONRenderer()
    if settings.form == "text":
        renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[settings.level]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(daemon=daemon)
