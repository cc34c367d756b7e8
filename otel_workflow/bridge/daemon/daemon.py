"""The daemon put together: springs, servers, shipper, output; their start, their health, their end."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from otel_workflow.bridge.clients import client_for
from otel_workflow.bridge.daemon.addresses import Address
from otel_workflow.bridge.daemon.counting import Counting, Step, no_step
from otel_workflow.bridge.daemon.forward import Forward
from otel_workflow.bridge.daemon.grpc_server import GrpcServer
from otel_workflow.bridge.daemon.http_server import HttpServer, Route
from otel_workflow.bridge.daemon.ingest import Ingest
from otel_workflow.bridge.daemon.intake import Intake
from otel_workflow.bridge.daemon.plan import Plan
from otel_workflow.bridge.daemon.routes import VIA, otlp_routes, shown_routes
from otel_workflow.bridge.daemon.shipping import Backlog, Shipping
from otel_workflow.bridge.daemon.tls import OwnCertificate
from otel_workflow.bridge.http import OtlpHttpClient
from otel_workflow.bridge.metrics import MetricsWriter
from otel_workflow.bridge.metrics.pushing import Pushing
from otel_workflow.journal.consumers import Consumer
from otel_workflow.journal.upkeep import Upkeep
from otel_workflow.journal.writer import prepare_directory

__all__ = ("Daemon",)

_HEARD = "heard"
_STOP_SERVERS = 2.0
_HANGS = 60.0
"""When counting has not come round for so long (s), something is wrong: a disk that does not answer."""


class Daemon:
    """Runs from ``start`` to ``stop``; ``places`` says where it listens, once it was made.

    Raises ConfigError (OW-150) when an address is taken, (OW-154) when it would send to itself and
    (OW-157) when its certificate cannot be used; then nothing is left open but the writer, which is
    the caller's until ``stop``.
    """

    def __init__(self, plan: Plan, writer: MetricsWriter, *, instance: str = "", step: Step = no_step) -> None:
        self.plan = plan
        self._writer = writer
        self._started = time.time()
        self._instance = instance or os.urandom(8).hex()
        self._certificate = OwnCertificate(plan.tls) if plan.tls is not None else None
        self._forward = self._make_forward()
        self._counting = Counting(
            writer,
            plan.journals,
            make_intake=lambda known: Intake(known, lost_after=plan.lost_after),
            gauges=self._gauges,
            register=_registered,
            upkeep=[] if plan.destination is not None else [Upkeep(place, plan.journal_max) for place in plan.journals],
            run_ttl=plan.run_ttl,
            step=step,
        )
        self._ingest = Ingest(self._counting, self._forward)
        self._shipping = self._make_shipping()
        self._pushing = (
            Pushing(writer, OtlpHttpClient(plan.push), plan.push_interval) if plan.push is not None else None
        )
        self._servers: list[HttpServer | GrpcServer] = []
        with ExitStack() as undone:
            undone.callback(self._stop_servers, 0.0)
            self._open_servers(step)
            plan.check_loop(self.places)
            undone.pop_all()

    def _make_forward(self) -> Forward | None:
        plan = self.plan
        if not plan.forward or plan.destination is None:
            return None
        place = plan.state / _HEARD
        prepare_directory(str(place))
        return Forward(place, self._instance, plan.destination.key)

    def _make_shipping(self) -> Shipping | None:
        plan = self.plan
        if plan.destination is None:
            return None
        # What an earlier daemon heard and could not send is sent, whether or not this one forwards.
        directories = [*plan.journals, plan.state / _HEARD]
        headers = (*plan.destination.headers, (VIA, self._instance))
        return Shipping(
            directories,
            client_for(replace(plan.destination, headers=headers)),
            plan.destination.key,
            max_bytes=plan.journal_max,
            run_ttl=plan.run_ttl,
        )

    def _open_servers(self, step: Step) -> None:
        """Open all addresses; the page may share one with OTLP."""
        plan = self.plan
        wanted: dict[Address, dict[str, Route]] = {}
        for address in plan.listen:
            if address.is_grpc:
                self._servers.append(GrpcServer(address, self._ingest, plan.token, self._shown_at(address)))
            else:
                routes = wanted.setdefault(address, dict(shown_routes(None, self.health)))
                routes.update(otlp_routes(self._ingest, plan.token))
        if plan.metrics is not None:
            routes = wanted.setdefault(plan.metrics, {})
            routes.update(shown_routes(self._writer, self.health, step=step))
        for address, routes in wanted.items():  # one by one: those that are open are closed when the next is taken
            self._servers.append(HttpServer(address, routes, self._shown_at(address)))

    def _shown_at(self, address: Address) -> OwnCertificate | None:
        return self._certificate if address.is_tls else None

    # -- life ---------------------------------------------------------------------------------

    @property
    def places(self) -> list[Address]:
        """Where it listens, with the ports that the system chose."""
        return [server.address for server in self._servers]

    def start(self) -> None:
        """Begin everything."""
        self._counting.start()
        for part in (*self._servers, self._shipping, self._pushing):
            if part is not None:
                part.start()

    def stop(self) -> bool:
        """Stop listening, count and send what is there, within the plan's deadline; True when nothing is left."""
        end = time.monotonic() + self.plan.deadline
        self._stop_servers(min(_STOP_SERVERS, self.plan.deadline))
        counted = self._counting.stop(max(end - time.monotonic(), 0.0))
        if self._forward is not None:
            self._forward.close()
        sent = self._shipping is None or self._shipping.stop(end)
        pushed = self._pushing is None or self._pushing.stop(end)
        if counted:  # a thread that hangs in the writer would find it closed
            self._writer.close()
        return counted and sent and pushed

    def _stop_servers(self, timeout: float) -> None:
        for server in self._servers:
            server.stop(timeout)

    # -- health -------------------------------------------------------------------------------

    def _gauges(self) -> Mapping[str, float]:
        backlog = self._backlog()
        return {
            "otel_workflow.bridge.backlog": backlog.waiting,
            "otel_workflow.bridge.oldest": _age(backlog),
        }

    def _backlog(self) -> Backlog:
        return self._shipping.backlog if self._shipping is not None else Backlog()

    def health(self) -> tuple[bool, Mapping[str, Any]]:
        """Return whether all is well (the state can be written), and what there is to say."""
        backlog, trouble, lag = self._backlog(), self._counting.trouble, time.monotonic() - self._counting.turned
        good = not trouble and lag < _HANGS
        document: dict[str, Any] = {
            "ok": good,
            "state": trouble or "ok",
            "uptime": round(time.time() - self._started, 1),
            "lag": round(lag, 1),
            "backlog": backlog.waiting,
            "oldest_age": round(_age(backlog), 1),
            "delivered": backlog.delivered,
            "refused": backlog.refused,
            "last_success": backlog.last_success,
            "last_error": backlog.last_error,
            "unreadable": self._counting.unreadable,
            **self._counting.numbers,
        }
        if self._pushing is not None:
            document["push"] = {"last_success": self._pushing.last_success, "last_error": self._pushing.trouble}
        if self._certificate is not None:
            document["tls"] = {"last_error": self._certificate.trouble}
        if self._forward is not None:
            document["heard_again"] = self._forward.again
        return good, document


def _age(backlog: Backlog) -> float:
    """Return how old the oldest waiting span is, in seconds."""
    return max(time.time_ns() - backlog.oldest_ns, 0) / 1e9 if backlog.oldest_ns is not None else 0.0


def _registered(directory: Path) -> Consumer:
    """Register the metrics with a journal directory, so that nothing is retired before it was counted."""
    consumer = Consumer(directory, "metrics")
    if directory.is_dir():
        consumer.register()
    return consumer
