"""The guard of instrumentation: whatever goes wrong inside telemetry stays inside telemetry.

One of the two places where a broad ``except`` is allowed (the other guards the bus's handlers).
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TypeVar

__all__ = ("completed", "guarded", "text_of")

T = TypeVar("T")
_told: set[str] = set()


def guarded(default: T, function: Callable[..., T], *args: Any) -> T:
    """Call the function; when it fails, log one calm line per place and return the default.

    What a signal handler of the program raised meanwhile (a time limit) is the program's, and goes on.
    """
    try:
        return function(*args)
    except Exception as error:
        if _is_from_signal(error):
            raise
        _tell(function, error)
        return default


def completed(
    default: T, function: Callable[..., T], recover: Callable[..., object], one: Any, two: Any, three: Any
) -> T:
    """Call the function as ``guarded`` does; broken off, put right what it had begun, and let the exception go on.

    KeyboardInterrupt, SystemExit and a handler's time limit may come between any two steps of ours.
    ``recover`` is called once, with that exception and the same arguments. Call this last of all:
    what a caller does after it may be broken off as well. It takes three arguments, no more and no
    fewer, because to hand on any number of them costs three times as much.
    """
    try:
        return function(one, two, three)
    except BaseException as broken:
        if isinstance(broken, Exception) and not _is_from_signal(broken):
            _tell(function, broken)
            return default
        guarded(None, recover, broken, one, two, three)
        raise


def _is_from_signal(error: Exception) -> bool:
    """Tell whether a Python signal handler raised it: one of its frames runs the code of a handler in force."""
    signal: Any = sys.modules.get("signal")  # nobody has set a handler who has not imported it
    if not hasattr(signal, "valid_signals"):  # or another thread is importing it just now
        return False
    ran, stack = set(), error.__traceback__
    while stack is not None:
        ran.add(stack.tb_frame.f_code)
        stack = stack.tb_next
    return any(_code_of(signal.getsignal(number)) in ran for number in signal.valid_signals())


def _code_of(handler: object) -> object:
    for found in (handler, vars(type(handler)).get("__call__")):
        code = getattr(getattr(found, "__func__", found), "__code__", None)
        if code is not None:
            return code
    return None


def _tell(function: Callable[..., Any], error: Exception) -> None:
    place = f"{getattr(function, '__qualname__', 'telemetry')}: {type(error).__name__}"
    if place not in _told:
        _told.add(place)
        try:
            import logging  # only when there is something to say: some commands must answer at once

            logging.getLogger("otel_workflow").warning(
                "otel-workflow lost a piece of telemetry in %s", place, exc_info=error
            )
        except Exception:
            return


def text_of(value: object) -> str:
    """Return ``str(value)``, or what can be said of a value whose ``__str__`` raises."""
    try:
        return str(value)
    except Exception as error:
        if _is_from_signal(error):
            raise
        return f"<{type(value).__name__}: str() raised {type(error).__name__}>"
