"""Everything this package raises on purpose.

::

    OtelWorkflowError
    ├── ConfigError (ValueError)      OW-1xx  a setting, a flag or an argument is wrong
    ├── StateError (OSError)          OW-14x  the bridge's state cannot be read or written
    ├── JournalError (OSError)        OW-2xx  a journal cannot be read or written
    ├── DecodeError (ValueError)      OW-3xx  an event from outside does not parse
    └── DeliveryError (RuntimeError)  OW-4xx  a backend did not take what was sent

Each error names the thing, the value and the remedy, and carries a stable ``code`` and a
``hint``: a command or a change that can be made. Instrumentation raises none of these; only
``configure()``, ``instrument()`` and the command line do.
"""

from __future__ import annotations

__all__ = ("ConfigError", "DecodeError", "DeliveryError", "JournalError", "OtelWorkflowError", "StateError")


class OtelWorkflowError(Exception):
    """The base of all errors of this package; ``str()`` is one line that can be shown to a user."""

    code: str = "OW-100"
    hint: str = ""

    def __init__(self, message: str, *, code: str | None = None, hint: str = "") -> None:
        super().__init__(message)
        if code is not None:
            self.code = code
        self.hint = hint

    def __str__(self) -> str:
        text = f"{self.code}: {self.args[0]}"
        return f"{text} ({self.hint})" if self.hint else text


class ConfigError(OtelWorkflowError, ValueError):
    """A setting, flag or argument has a value that cannot be used (OW-101 and following)."""

    code = "OW-101"


class StateError(OtelWorkflowError, OSError):
    """The bridge's state file cannot be used (OW-140 to OW-149)."""

    code = "OW-140"


class JournalError(OtelWorkflowError, OSError):
    """A journal directory or file cannot be used (OW-201 and following)."""

    code = "OW-201"


class DecodeError(OtelWorkflowError, ValueError):
    """Bytes from outside are not an event (OW-301 and following)."""

    code = "OW-301"


class DeliveryError(OtelWorkflowError, RuntimeError):
    """A backend refused or never answered (OW-401 and following)."""

    code = "OW-401"
