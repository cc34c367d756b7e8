"""How a phase ended, told from what left its block. The table is in FACE §2 of the design."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from otel_workflow.events import Outcome
from otel_workflow.guard import text_of
from otel_workflow.semconv import ERROR_TYPE_OTHER
from otel_workflow.values import clean_text

__all__ = ("SUCCESS", "Verdict", "describe", "error_type_of", "of_exception")

MAX_REASON = 2048
_ERRORS = frozenset({Outcome.FAILURE, Outcome.ERROR, Outcome.TIMEOUT})


@dataclass(frozen=True, slots=True)
class Verdict:
    """An outcome with its reason; ``handed`` when it came up from an inner phase."""

    outcome: Outcome
    reason: str = ""
    error_type: str | None = None
    handed: bool = False

    @property
    def is_error(self) -> bool:
        """True when the span's status is ERROR."""
        return self.outcome in _ERRORS


SUCCESS = Verdict(Outcome.SUCCESS)


def error_type_of(error: BaseException) -> str:
    """Return the qualified name of an exception's class (``json.decoder.JSONDecodeError``)."""
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def of_exception(error: BaseException) -> Verdict:
    """Return the verdict for an exception that leaves a block."""
    if is_cancellation(error):
        return Verdict(Outcome.CANCELLATION, _why_cancelled(error))
    if isinstance(error, SystemExit):
        if error.code is None or error.code == 0:
            return SUCCESS
        return Verdict(Outcome.FAILURE, clean_text(f"exit {text_of(error.code)}", MAX_REASON), ERROR_TYPE_OTHER)
    reason = describe(error)
    if isinstance(error, TimeoutError):
        return Verdict(Outcome.TIMEOUT, reason, "timeout")
    return Verdict(Outcome.FAILURE, reason, error_type_of(error))


def describe(error: BaseException) -> str:
    """Return ``ValueError: what it says`` in one clean, bounded line."""
    text = text_of(error)
    name = type(error).__name__
    return clean_text(f"{name}: {text}" if text else name, MAX_REASON)


def is_cancellation(error: BaseException) -> bool:
    """True for KeyboardInterrupt, a closed generator, and a cancelled task of asyncio or trio."""
    if isinstance(error, KeyboardInterrupt | GeneratorExit):
        return True
    if isinstance(error, BaseExceptionGroup):
        return all(is_cancellation(inner) for inner in error.exceptions)
    return isinstance(error, _cancelled_classes())


def _cancelled_classes() -> tuple[type[BaseException], ...]:
    """The backends' classes, as far as somebody has imported them: none is imported here."""
    classes = []
    for module, name in (("asyncio", "CancelledError"), ("trio", "Cancelled")):
        found = getattr(sys.modules.get(module), name, None)
        if isinstance(found, type):
            classes.append(found)
    return tuple(classes)


def _why_cancelled(error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt):
        return "interrupted from the keyboard"
    if isinstance(error, GeneratorExit):
        return "closed before its end"
    return "cancelled"
