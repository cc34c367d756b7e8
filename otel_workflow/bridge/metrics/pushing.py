"""The other output: the committed metrics, pushed over OTLP instead of shown on a page."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping

from otel_workflow.bridge.answer import Answer
from otel_workflow.bridge.destination import Destination
from otel_workflow.bridge.metrics.writer import MetricsWriter
from otel_workflow.bridge.shipper import Client
from otel_workflow.bridge.shown import one_line
from otel_workflow.bridge.signals import destination_for
from otel_workflow.errors import ConfigError
from otel_workflow.guard import guarded

__all__ = ("Pushing", "metrics_destination", "push_interval")

_SEND_SECONDS = 10.0


def metrics_destination(environ: Mapping[str, str]) -> Destination | None:
    """Read ``OTEL_EXPORTER_OTLP_METRICS_*``, then ``OTEL_EXPORTER_OTLP_*``; None when no endpoint is set.

    Raises ConfigError as ``Destination.from_environ`` does.
    """
    return destination_for("metrics", environ)


def push_interval(environ: Mapping[str, str]) -> float:
    """Return OTEL_METRIC_EXPORT_INTERVAL in seconds (it is in ms; 60,000); raises ConfigError (OW-113)."""
    text = environ.get("OTEL_METRIC_EXPORT_INTERVAL", "").strip() or "60000"
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise ConfigError(
            f"OTEL_METRIC_EXPORT_INTERVAL={text!r} is not usable",
            code="OW-113",
            hint="give milliseconds, such as 60000",
        )
    return int(text) / 1000


class Pushing:
    """Pushes every ``interval`` seconds until it is stopped; ``trouble`` says why the last push failed."""

    def __init__(self, writer: MetricsWriter, client: Client, interval: float) -> None:
        self.trouble = ""
        self.last_success: float | None = None
        self._writer, self._client, self._interval = writer, client, interval
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="otel-workflow-pushing", daemon=True)

    def start(self) -> None:
        """Begin to push."""
        self._thread.start()

    def stop(self, deadline: float, patience: float = 0.3) -> bool:
        """Push a last time; True when that was acknowledged."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(min(max(deadline - time.monotonic(), 0.0), patience))
        if self._thread.is_alive():
            return False
        done = self.push(min(deadline, time.monotonic() + patience))
        self.close()
        return done

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def interrupt(self) -> None:
        """Make a push that another thread waits in fail at once."""
        self._client.interrupt()

    def push(self, deadline: float) -> bool:
        """Push what is committed once; True when it was acknowledged."""
        body, serial = self._writer.request()
        answer = self._client.send(body, deadline=deadline)
        self.trouble = "" if answer.kind == "accepted" else _said(answer)
        if self.trouble:
            return False
        self.last_success = time.time()
        self._writer.pushed(serial)
        return True

    def _run(self) -> None:
        while not self._stop.wait(self._interval):
            guarded(False, self.push, time.monotonic() + min(_SEND_SECONDS, self._interval))


def _said(answer: Answer) -> str:
    return one_line(f"{answer.status or ''} {answer.message or answer.kind}".strip())
