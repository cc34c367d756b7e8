"""Follows the event bus of crackerjack 0.42.0-0.46.4, without a change to its code.

::

    from otel_workflow.engines import crackerjack

    crackerjack.attach()

Its bus class is the same file in all these versions and gone since. The class is patched, not an
instance: a run constructs two, and some exist before us. We step in where every published event
passes before any handler is called, so no subscription appears, no result changes, and a handler
that hangs or a process that is killed in one takes no event with it.
"""

from __future__ import annotations

import functools
import logging
import threading
import time
from types import ModuleType
from typing import Any

from otel_workflow.engines.follower import Follower
from otel_workflow.engines.imported import WhenImported
from otel_workflow.engines.plain import plain, time_ns_of
from otel_workflow.events import Event
from otel_workflow.guard import guarded, text_of

__all__ = ("MODULE", "VERSIONS", "attach", "detach", "event_of", "flush")

MODULE = "crackerjack.events.workflow_bus"
VERSIONS = ">=0.42.0,<0.47"
"""The versions that have this bus."""
_STEP = "_collect_subscriptions"
"""The method that ``publish`` gives each new event to."""
_logger = logging.getLogger("otel_workflow")


def event_of(foreign: Any) -> Event:
    """Return one of crackerjack's events as ours: times aware, payload plain."""
    told = foreign.metadata
    correlation = getattr(told, "correlation_id", None)
    return Event(
        id=text_of(getattr(told, "event_id", "")),
        type=text_of(told.event_type),
        source=text_of(getattr(told, "source", "") or "crackerjack"),
        time_ns=time_ns_of(getattr(told, "timestamp", None), time.time_ns()),
        payload=plain(foreign.payload or {}),
        correlation_id=text_of(correlation) if correlation else None,
    )


class _Bridge:
    """What is attached to the class, once per process."""

    def __init__(self) -> None:
        self.follower = Follower()
        self.lock = threading.Lock()
        self.watcher = WhenImported(MODULE, self.patch)
        self.patched: type[Any] | None = None
        self.wrapper: Any = None
        self.original: Any = None
        self.following = False

    def patch(self, module: ModuleType) -> None:
        """Step into the class, if that has not been done."""
        cls = module.WorkflowEventBus
        original = getattr(cls, _STEP, None)
        if original is None:
            _logger.warning("otel-workflow does not follow %s: %s has no %s", MODULE, cls.__qualname__, _STEP)
            return
        if cls is self.patched and original is self.wrapper:
            return

        @functools.wraps(original)
        def collect(*args: Any, **kwargs: Any) -> Any:
            if self.following and self.wrapper is collect:
                guarded(None, self.told, args, kwargs)
            return original(*args, **kwargs)

        self.patched, self.original, self.wrapper = cls, original, collect
        setattr(cls, _STEP, collect)

    def told(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Enqueue what was published, and nothing else."""
        self.follower.put(event_of(kwargs["event"] if "event" in kwargs else args[1]))

    def unpatch(self) -> None:
        """Step out; where somebody has wrapped us since, stay and do nothing."""
        cls, self.patched = self.patched, None
        if cls is not None and getattr(cls, _STEP, None) is self.wrapper:
            setattr(cls, _STEP, self.original)


_bridge = _Bridge()


def attach() -> None:
    """Follow every bus of this process, those made before and after; a second call changes nothing.

    May be called before or after crackerjack is imported, and imports nothing of it.
    """
    with _bridge.lock:
        _bridge.following = True
        guarded(None, _bridge.watcher.watch)


def detach() -> None:
    """Follow no more, and leave the class as it was."""
    with _bridge.lock:
        _bridge.following = False
        _bridge.watcher.forget()
        guarded(None, _bridge.unpatch)
    flush()


def flush(timeout: float = 5.0) -> bool:
    """Wait until everything said so far has become phases; False when that took longer (s)."""
    return _bridge.follower.flush(timeout)
