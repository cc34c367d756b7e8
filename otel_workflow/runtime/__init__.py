"""The composition root: the one place that sees both shores, upstream and downstream."""

from __future__ import annotations

import atexit
import logging
import os
import shlex
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from opentelemetry import trace

from otel_workflow import semconv
from otel_workflow.bridge.clients import client_for
from otel_workflow.bridge.destination import Destination
from otel_workflow.bridge.directory import DirectoryShipper, count_waiting
from otel_workflow.bridge.heartbeats import Heartbeats
from otel_workflow.bridge.in_memory import MemoryShipper
from otel_workflow.bridge.otlp import encode_resource
from otel_workflow.bridge.processor import JournalSpanProcessor
from otel_workflow.bridge.signals import destination_for
from otel_workflow.bus import WorkflowEventBus, get_bus
from otel_workflow.clock import SystemClock
from otel_workflow.errors import ConfigError
from otel_workflow.guard import guarded
from otel_workflow.instrumentation import environment
from otel_workflow.instrumentation.published import Published
from otel_workflow.instrumentation.recorder import (
    Recorder,
    install,
    is_disabled,
    uninstall,
)
from otel_workflow.journal import ANCHOR, Journal, LastingWriter, MemoryJournal
from otel_workflow.journal.place import find_place
from otel_workflow.journal.record import encode_anchor
from otel_workflow.journal.upkeep import keeper
from otel_workflow.masking import learn_environment, masked_resource
from otel_workflow.runtime.delivery import Delivery
from otel_workflow.runtime.heartbeat import Heartbeat, open_runs
from otel_workflow.runtime.provider import WorkflowTracerProvider, sampler_of
from otel_workflow.runtime.resource import header_of, named, resource_of
from otel_workflow.settings import Settings
from otel_workflow.version import VERSION

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.trace import TracerProvider

    from otel_workflow.runtime.metrics import MetricsPush

__all__ = ("Runtime", "configure", "configure_from_environment")

_logger = logging.getLogger("otel_workflow")
_EXIT_DEADLINE = 2.0
_COUNT_SECONDS = 0.05  # for what waits, after all patience is used up: it has to fit into the 0.3 s as well


class Runtime:
    """What ``configure()`` put together; reconfiguring gives a new one and ends this one.

    ``lane`` says who makes the spans; ``journal`` is the directory events are kept in, or None
    when they are kept in memory.
    """

    def __init__(self, recorder: Recorder, settings: Settings, destination: Destination | None) -> None:
        self._recorder = recorder
        self._settings = settings
        self._destination = destination
        self._delivery: Delivery | None = None
        self._heartbeat: Heartbeat | None = None
        self._metrics: MetricsPush | None = None
        self._provider: WorkflowTracerProvider | None = None
        self._resource: Resource | None = None
        self._closed = False

    @property
    def lane(self) -> Literal["native", "sdk", "off"]:
        """Who makes a phase's span: the bridge, a foreign SDK, or nobody."""
        return self._recorder.lane

    @property
    def journal(self) -> Path | None:
        """The directory events are kept in."""
        directory = getattr(self._recorder.journal, "directory", None)
        return Path(directory) if directory else None

    def flush(self, *, timeout: float = 5.0) -> bool:
        """Wait until everything so far was acknowledged; False when that took longer (s)."""
        end = time.monotonic() + timeout
        done = self._delivery is None or bool(guarded(False, self._delivery.flush, timeout))
        if self._metrics is not None:
            done = bool(guarded(False, self._metrics.flush, max(end - time.monotonic(), 0.0))) and done
        return done

    def shutdown(self, *, timeout: float | None = None) -> bool:
        """End the segment, deliver what can be delivered, and stop recording.

        Waits at most ``timeout`` seconds (default: ``OW_DEADLINE`` or 2 s) and never more than
        0.3 s without progress. True when nothing is left; called by itself at exit.
        """
        if self._closed:
            return True
        self._closed = True
        atexit.unregister(self.shutdown)
        if self._heartbeat is not None:
            guarded(None, self._heartbeat.end)
        uninstall(self._recorder)
        self._recorder.bus.attach_sink(None)
        if self._provider is not None and self._provider.recorder is self._recorder:
            self._provider.recorder = None
        if self._recorder.journal is not None:
            self._recorder.journal.close()
        limit = timeout if timeout is not None else self._settings.deadline
        deadline = _EXIT_DEADLINE if limit is None else limit
        if self._metrics is not None:  # beside the spans: their patience is one
            guarded(None, self._metrics.begin_to_end, deadline)
        done = self._delivery is None or self._finish(self._delivery, deadline)
        if self._metrics is not None:
            done = bool(guarded(False, self._metrics.finish)) and done
        return done and not guarded(0, self._say_what_is_lost)

    def _finish(self, delivery: Delivery, deadline: float) -> bool:
        """Wait for the spans at the end; True when nothing is left of them."""
        done = delivery.finish(deadline)
        if not done and not delivery.elsewhere:
            guarded(None, self._say_what_waits)
        guarded(None, delivery.line.release)
        return done

    def _step_back(self) -> bool:
        """Make room for another runtime; True if this one stays until its open phases have ended.

        To end it now would close the journal in which they are about to write how they ended.
        """
        if self._closed:
            return False
        if self._recorder.open_runs or getattr(self._recorder.journal, "_open_phases", 0) > 0:
            uninstall(self._recorder)
            return True
        self.shutdown()
        return False

    def _say_what_waits(self) -> None:
        if self._destination is None:
            return
        where = self._destination.display
        if self.journal is None:
            _logger.warning("otel-workflow: spans in memory were not delivered to %s and are lost", where)
            return
        count = count_waiting(self.journal, self._destination.key, _COUNT_SECONDS)
        if count.spans:
            _logger.warning(
                "otel-workflow: %s%s for %s; send with: otel-workflow ship --journal %s",
                "" if count.complete else "at least ",
                "1 span waits" if count.spans == 1 else f"{count.spans} spans wait",
                where,
                shlex.quote(str(self.journal)),
            )

    def _say_what_is_lost(self) -> int:
        """Say how many events neither the disk nor a backend took; returns how many."""
        journal = self._recorder.journal
        lost = journal.undelivered if isinstance(journal, LastingWriter) else 0
        if lost:
            _logger.warning("otel-workflow: %d events in memory are lost: the journal %s took none", lost, self.journal)
        return lost


class _Installed:
    """What belongs to the process: our one provider and the runtimes, the last of them in force."""

    provider: WorkflowTracerProvider | None = None
    runtimes: ClassVar[list[Runtime]] = []
    hooked = False


def configure(
    *,
    service_name: str | None = None,
    journal: str | os.PathLike[str] | None = None,
    bus: WorkflowEventBus | None = None,
    provider: TracerProvider | None = None,
    ids: str | None = None,
    trace_url: str | None = None,
    deadline: float | None = None,
    metrics: Literal["push"] | None = None,
) -> Runtime:
    """Start recording: journal on, spans made, delivery begun if an endpoint is set.

    May be called again: the runtime before it is replaced, and shut down unless phases are open
    in it; these end where they began. Raises ConfigError for what cannot be used (OW-101 a
    setting, OW-111 and following the OTLP endpoint). A directory that cannot be written is no
    error: one warning, and the journal is kept in memory.
    """
    if metrics not in (None, "push"):
        raise ConfigError(f"metrics={metrics!r} is no way to give metrics", hint='give "push", or leave it out')
    arguments = {"ids": ids, "trace_url": trace_url, "deadline": deadline}
    settings = Settings.read(os.environ, arguments)
    destination = Destination.from_environ(os.environ)
    _Installed.runtimes = [runtime for runtime in _Installed.runtimes if runtime._step_back()]
    chosen = bus or get_bus()
    if is_disabled():
        return Runtime(Recorder("off", chosen), settings, None)
    runtime = _assemble(service_name, journal, chosen, provider, settings, destination)
    if metrics is not None:
        _push_metrics(runtime)
    _Installed.runtimes.append(runtime)
    atexit.register(runtime.shutdown)
    _hook_forks()
    return runtime


def configure_from_environment() -> None:
    """Configure because ``OW_JOURNAL`` is set; a wrong setting costs telemetry, never the program."""
    try:
        configure()
    except ConfigError as error:
        _logger.warning("otel-workflow does not record: %s", error)


def _assemble(
    service_name: str | None,
    journal: str | os.PathLike[str] | None,
    bus: WorkflowEventBus,
    provider: TracerProvider | None,
    settings: Settings,
    destination: Destination | None,
) -> Runtime:
    learn_environment()
    environ = os.environ if journal is None else {**os.environ, "OW_JOURNAL": os.fspath(journal)}
    resource = resource_of(os.environ, service_name)
    naming = _Naming(resource)
    header = partial(_header, naming, destination)
    opened, directory = _open_journal(environ, header, settings)
    recorder = Recorder("native", bus, opened, trace_url=settings.trace_url or None)
    recorder.first_run = naming.first_run
    recorder.resource = resource
    if isinstance(recorder.clock, SystemClock):
        recorder.clock.moved = partial(guarded, None, _record_anchor, opened)
    _look_around(recorder, environ)
    runtime = Runtime(recorder, settings, destination)
    _choose_lane(runtime, recorder, resource, provider)
    if directory is not None:
        _publish_directory(recorder, directory)
    if destination is not None:
        _deliver(runtime, recorder, opened, destination, settings)
        if settings.heartbeat and runtime._delivery is not None:
            _tell_that_it_lives(runtime, recorder, naming, settings.heartbeat)
    bus.attach_sink(Published(recorder))
    install(recorder)
    return runtime


def _look_around(recorder: Recorder, environ: Mapping[str, str]) -> None:
    """Find the parent that the environment names, as it was before any run of ours stood in it."""
    if _Installed.runtimes:  # one that still has open phases: its runs are this process's runs
        before = _Installed.runtimes[-1]._recorder
        recorder.open_runs, recorder.environment_before = before.open_runs, before.environment_before
        recorder.environment_parent, recorder.environment_nested = before.environment_parent, before.environment_nested
        return
    names = ("TRACEPARENT", "TRACESTATE", "OW_WORKFLOW")
    recorder.environment_before = {name: os.environ[name] for name in names if name in os.environ}
    parent = recorder.environment_parent = environment.parent_from(os.environ)
    recorder.environment_nested = bool(parent and environ.get("OW_JOURNAL") and os.environ.get("OW_WORKFLOW"))


class _Naming:
    """The service's name: given, or that of the first run, known when the segment is headed."""

    def __init__(self, resource: Resource) -> None:
        self.resource = resource

    def first_run(self, workflow: str) -> None:
        self.resource = named(self.resource, workflow)


def _header(naming: _Naming, destination: Destination | None) -> dict[str, Any]:
    return header_of(naming.resource, destination.key if destination is not None else "")


def _record_anchor(journal: Journal, offset_ns: int, moved_ns: int) -> None:
    """Record that the wall clock has moved, so that who reads the journal sees why phases seem to overlap."""
    journal.write(ANCHOR, encode_anchor(offset_ns, moved_ns, time.monotonic_ns()))


def _open_journal(environ: Mapping[str, str], header: Any, settings: Settings) -> tuple[Journal, Path | None]:
    if "_pytest" in sys.modules and not environ.get("OW_JOURNAL"):
        return MemoryJournal(header), None
    place, passed = find_place(environ, Path.cwd())
    if place is None:
        _logger.warning("otel-workflow keeps its journal in memory, where a kill loses it: %s", passed)
        return MemoryJournal(header), None
    keep = keeper(str(place), settings.journal_max)
    trouble = partial(_say_trouble, place)
    return LastingWriter(str(place), header, sync=settings.journal_sync, upkeep=keep, trouble=trouble), place


def _say_trouble(place: Path, reason: str) -> None:
    _logger.warning(
        "otel-workflow keeps events in memory, where a kill loses them: the journal %s takes none (%s); "
        "writing goes on there by itself",
        place,
        reason,
    )


def _choose_lane(runtime: Runtime, recorder: Recorder, resource: Resource, provider: TracerProvider | None) -> None:
    """Native, unless an SDK provider that is not ours is there or was given."""
    current = provider if provider is not None else trace.get_tracer_provider()
    foreign = not isinstance(current, WorkflowTracerProvider | trace.ProxyTracerProvider | trace.NoOpTracerProvider)
    if foreign:
        recorder.lane = "sdk"
        recorder.tracer = current.get_tracer(semconv.SCOPE_NAME, VERSION, semconv.SCHEMA_URL)
        _logger.info("otel-workflow takes the SDK lane: %s makes the spans", type(current).__name__)
        return
    ours = _Installed.provider
    if ours is None:
        processor = JournalSpanProcessor.into(_current_journal, resource, _wake_delivery)
        ours = _Installed.provider = WorkflowTracerProvider(resource, processor)
        trace.set_tracer_provider(ours)
    ours.connect(recorder)
    recorder.sampler = sampler_of(ours.sampler)
    runtime._provider, runtime._resource = ours, resource


def _current_journal() -> Journal | None:
    recorder = _Installed.provider.recorder if _Installed.provider is not None else None
    return recorder.journal if recorder is not None else None


def _wake_delivery() -> None:
    recorder = _Installed.provider.recorder if _Installed.provider is not None else None
    if recorder is not None and recorder.wake is not None:
        recorder.wake()


def _publish_directory(recorder: Recorder, directory: Path) -> None:
    """Children find the journal by OW_JOURNAL, and the process's only run by TRACEPARENT."""
    os.environ["OW_JOURNAL"] = str(directory)
    recorder.publishes_environment = recorder.lane == "native"


def _deliver(
    runtime: Runtime, recorder: Recorder, journal: Journal, destination: Destination, settings: Settings
) -> None:
    if _is_under_test(journal):
        return
    if isinstance(journal, MemoryJournal):
        runtime._delivery = Delivery(lambda: MemoryShipper(journal, client_for(destination)))
    else:
        directory, most, ttl = journal.directory, settings.journal_max, settings.run_ttl
        own = journal if isinstance(journal, LastingWriter) else None
        runtime._delivery = Delivery(
            lambda: DirectoryShipper(
                directory, client_for(destination), destination.key, max_bytes=most, run_ttl=ttl, own=own
            )
        )
    recorder.wake = runtime._delivery.start


def _tell_that_it_lives(runtime: Runtime, recorder: Recorder, naming: _Naming, interval: float) -> None:
    """Send heartbeats of open runs to where logs go, if they are to go anywhere."""
    where = destination_for("logs", os.environ)
    if where is None or os.environ.get("OTEL_LOGS_EXPORTER", "").strip().lower() == "none":
        return

    def resource() -> tuple[bytes, str]:
        return encode_resource(masked_resource(naming.resource.attributes)), naming.resource.schema_url

    heartbeat = runtime._heartbeat = Heartbeat(
        lambda: Heartbeats(client_for(where, "logs"), interval, lambda: open_runs(recorder), resource)
    )
    _wake_too(recorder, heartbeat.start)


def _push_metrics(runtime: Runtime) -> None:
    """Let a worker without a daemon push its own counts; without an endpoint it says so and does nothing."""
    from otel_workflow.runtime.metrics import metrics_push

    recorder, push = runtime._recorder, metrics_push(os.environ)
    journal = recorder.journal
    if push is None:
        _logger.warning("otel-workflow pushes no metrics: set OTEL_EXPORTER_OTLP_ENDPOINT")
        return
    if not isinstance(journal, LastingWriter | MemoryJournal) or _is_under_test(journal):
        return
    made = runtime._metrics = push(journal)
    _wake_too(recorder, made.start)


def _wake_too(recorder: Recorder, start: Callable[[], None]) -> None:
    """Let the recorder's events start one more thread, after those they start already."""
    before = recorder.wake

    def wake() -> None:
        if before is not None:
            before()
        start()

    recorder.wake = wake


def _is_under_test(journal: Journal) -> bool:
    """True under somebody's tests, where nothing is sent."""
    return isinstance(journal, MemoryJournal) and "_pytest" in sys.modules


def _hook_forks() -> None:
    if _Installed.hooked:
        return
    _Installed.hooked = True
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)


def _running() -> list[Delivery | Heartbeat | MetricsPush]:
    open_ones = [runtime for runtime in _Installed.runtimes if not runtime._closed]
    threads = [thread for r in open_ones for thread in (r._delivery, r._heartbeat, r._metrics)]
    return [thread for thread in threads if thread is not None]


def _before_fork() -> None:
    for thread in _running():
        thread.stop()


def _after_fork_in_parent() -> None:
    for thread in _running():
        thread.resume()


def _after_fork_in_child() -> None:
    for thread in _running():
        thread.after_fork_in_child()
