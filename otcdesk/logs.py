"""Where logs go and what they look like."""

import sys
from typing import Any

import structlog

from otcdesk.config import Settings


def configure_logging(settings: Settings) -> None:
    """Send structured logs to standard error: one JSON object a line, or readable lines."""
    levels = {"debug": 10, "info": 20, "warning": 30, "error": 40}
    renderer: Any = (
        structlog.processors.JSONRenderer()
        if settings.log_format == "json"
        else structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    )
    processors: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if settings.log_format == "json":
        processors.append(structlog.processors.format_exc_info)  # the plain traceback: values could be secrets
    structlog.configure(
        processors=[*processors, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(levels[settings.log_level]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
