"""Runs the daemon for the command ``bridge``: flags and environment in, signals, exit code out."""

from __future__ import annotations

import os
import select
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from otel_workflow.bridge.daemon.addresses import Address, parse_listen, parse_place
from otel_workflow.bridge.daemon.daemon import Daemon
from otel_workflow.bridge.daemon.plan import Plan, instance_of, read_token
from otel_workflow.bridge.daemon.tls import TlsFiles
from otel_workflow.bridge.destination import Destination
from otel_workflow.bridge.metrics import MetricsWriter
from otel_workflow.bridge.metrics.pushing import metrics_destination, push_interval
from otel_workflow.cli.options import seconds
from otel_workflow.cli.output import complain, flush, tell
from otel_workflow.cli.place import journal_directory
from otel_workflow.cli.project import read_settings
from otel_workflow.errors import ConfigError, OtelWorkflowError
from otel_workflow.settings import Settings

__all__ = ("Wishes", "plan_of", "run_bridge")

_DEADLINE = 30.0
_DONE, _TAKEN, _BACKLOG = 0, 1, 3
_PAGE_PORT = 9464
_TLS = ("tls_cert", "tls_key", "tls_client_ca")


@dataclass(frozen=True, slots=True)
class Wishes:
    """The flags, as they were given."""

    journals: tuple[Path, ...] = ()
    listen: tuple[str, ...] = ()
    metrics: str | None = None
    push: bool = False
    state: Path | None = None
    forward: bool = False
    lost_after: str = "60"
    token_file: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    tls_client_ca: Path | None = None


def plan_of(wishes: Wishes, environ: Mapping[str, str]) -> Plan:
    """Turn flags and environment into a plan; raises ConfigError for what cannot be."""
    settings = read_settings(environ, {name: getattr(wishes, name) for name in _TLS})
    state = _state(wishes.state, environ)
    return Plan(
        state=state,
        journals=tuple(path.expanduser().absolute() for path in wishes.journals) or (journal_directory(None),),
        listen=tuple(parse_listen(text) for text in wishes.listen),
        metrics=_page(wishes, environ),
        push=_push(wishes, environ),
        push_interval=push_interval(environ),
        destination=Destination.from_environ(environ),
        forward=wishes.forward,
        lost_after=seconds("--lost-after", wishes.lost_after),
        deadline=_DEADLINE if settings.deadline is None else settings.deadline,
        birth_hold=settings.birth_hold,
        journal_max=settings.journal_max,
        run_ttl=settings.run_ttl,
        token=read_token(wishes.token_file) if wishes.token_file is not None else b"",
        tls=_tls(settings),
    )


def _state(given: Path | None, environ: Mapping[str, str]) -> Path:
    if given is not None:
        return given.expanduser().absolute()
    systemd = environ.get("STATE_DIRECTORY", "").partition(":")[0]  # what StateDirectory= of a unit has made
    if systemd:
        return Path(systemd)
    base = environ.get("XDG_STATE_HOME", "")
    if Path(base).is_absolute():
        return Path(base) / "otel-workflow" / "bridge"
    if environ.get("HOME"):
        return Path(environ["HOME"]) / ".local/state/otel-workflow/bridge"
    raise ConfigError("there is no place for the bridge's state", code="OW-156", hint="give --state DIR")


def _tls(settings: Settings) -> TlsFiles | None:
    certificate, *others = (
        Path(said).expanduser().absolute() if (said := getattr(settings, name)) else None for name in _TLS
    )
    if certificate is not None:
        return TlsFiles(certificate, *others)
    if any(others):
        raise ConfigError(
            "--tls-key or --tls-client-ca is given, and no certificate", code="OW-157", hint="give --tls-cert FILE, too"
        )
    return None


def _page(wishes: Wishes, environ: Mapping[str, str]) -> Address | None:
    if wishes.metrics is not None:
        return parse_place("--metrics", wishes.metrics)
    host, port = (environ.get(f"OTEL_EXPORTER_PROMETHEUS_{name}", "").strip() for name in ("HOST", "PORT"))
    if wishes.push or not (host or port):
        return None
    host = f"[{host}]" if ":" in host and not host.startswith("[") else host
    return parse_place("OTEL_EXPORTER_PROMETHEUS_HOST and _PORT", f"{host or 'localhost'}:{port or _PAGE_PORT}")


def _push(wishes: Wishes, environ: Mapping[str, str]) -> Destination | None:
    if not wishes.push:
        return None
    destination = metrics_destination(environ)
    if destination is None:
        raise ConfigError(
            "--push has nowhere to push to",
            code="OW-153",
            hint="set OTEL_EXPORTER_OTLP_METRICS_ENDPOINT or OTEL_EXPORTER_OTLP_ENDPOINT",
        )
    return destination


def run_bridge(wishes: Wishes) -> int:
    """Run until a signal comes; returns the exit code."""
    plan = plan_of(wishes, os.environ)
    with _signals() as signals:
        try:
            daemon = _open(plan)
        except OtelWorkflowError as error:
            if not _is_taken(error):
                raise
            complain(str(error))
            return _TAKEN
        daemon.start()
        _say_ready(daemon)
        signals.wait(lambda: signals.count > 0)
        return _stop(daemon, signals)


def _stop(daemon: Daemon, signals: _Signals) -> int:
    """Let the daemon drain, unless a second signal wants an end at once: what is left stays on disk."""
    drained: list[bool] = []

    def drain() -> None:
        drained.append(daemon.stop())
        signals.wake()

    threading.Thread(target=drain, name="otel-workflow-stop", daemon=True).start()
    signals.wait(lambda: bool(drained) or signals.count > 1)
    if drained and drained[0]:
        return _DONE
    _say_left(daemon)
    if not drained:
        flush()
        os._exit(_BACKLOG)  # threads that wait for a network would be joined otherwise
    return _BACKLOG


def _open(plan: Plan) -> Daemon:
    instance = instance_of(plan.state)
    writer = MetricsWriter(plan.state, instance=instance, birth_hold=plan.birth_hold)
    with ExitStack() as undone:
        undone.callback(writer.close)
        daemon = Daemon(plan, writer, instance=instance)
        undone.pop_all()
    return daemon


def _is_taken(error: OtelWorkflowError) -> bool:
    return error.code == "OW-150" or error.code.startswith("OW-14")


def _say_ready(daemon: Daemon) -> None:
    plan = daemon.plan
    reads = [str(path) + ("" if path.is_dir() else " (not there yet)") for path in plan.journals]
    listens = [str(place) for place in daemon.places]
    sends = plan.destination.display if plan.destination is not None else "nowhere (no endpoint is set)"
    parts = [
        f"reads {', '.join(reads)}",
        *([f"listens at {', '.join(listens)}"] if listens else []),
        f"sends to {sends}",
    ]
    tell(f"otel-workflow bridge is ready: {'; '.join(parts)}")


def _say_left(daemon: Daemon) -> None:
    _, health = daemon.health()
    tell(f"otel-workflow bridge stopped with a backlog of {health['backlog']} spans; state: {health['state']}")


class _Signals:
    """SIGTERM and SIGINT, counted; a pipe wakes who waits, since a handler may take no lock."""

    def __init__(self) -> None:
        self.count = 0
        self._hear, self._say = os.pipe()
        os.set_blocking(self._say, False)

    def note(self, _number: int, _frame: FrameType | None) -> None:
        """Handle a signal."""
        self.count += 1
        self.wake()

    def wake(self) -> None:
        """Have ``wait`` look again."""
        with suppress(OSError):
            os.write(self._say, b".")

    def wait(self, until: Callable[[], bool]) -> None:
        """Return once something holds that a signal or ``wake`` has brought about."""
        while not until():
            select.select([self._hear], [], [])
            os.read(self._hear, 64)

    def close(self) -> None:
        """Close the pipe."""
        os.close(self._hear)
        os.close(self._say)


@contextmanager
def _signals() -> Iterator[_Signals]:
    signals = _Signals()
    main = threading.current_thread() is threading.main_thread()
    numbers = (signal.SIGTERM, signal.SIGINT) if main else ()
    before = {number: signal.signal(number, signals.note) for number in numbers}
    try:
        yield signals
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        signals.close()
