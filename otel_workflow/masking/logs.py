"""Masks our own log lines, which quote what users' exceptions and backends say."""

from __future__ import annotations

import logging

from otel_workflow.masking.texts import masked

__all__ = ("mask_logs",)

_LOGGERS = ("otel_workflow", "otel_workflow.bus", "otel_workflow.timeline")
"""A filter of a logger sees what is logged with it, and not what its children log."""


class _Masking(logging.Filter):
    """Replaces a record's message and traceback by masked texts, for whichever handler comes after."""

    def filter(self, record: logging.LogRecord) -> bool:
        said = record.getMessage()
        shown = masked(said)
        if shown is not said:
            record.msg, record.args = shown, ()
        if record.exc_info and record.exc_info[0] is not None:
            stack = logging.Formatter().formatException(record.exc_info)
            shown = masked(stack)
            if shown is not stack:  # the exception itself would be formatted anew by some handlers
                record.exc_text, record.exc_info = shown, None
        return True


_filter = _Masking()


def mask_logs() -> None:
    """See to it that nothing secret is logged by us; a second call changes nothing."""
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_filter)
