"""A running Jaeger as the tests see it: where to send spans, and questions to ask."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.servers.recipes import RECIPES
from tests.servers.web import get_json, until

VERSION = RECIPES["jaeger"].version

# Jaeger's own JSON is what Grafana's data source reads as well, and unlike the newer
# API of 2.13 it really filters by attribute; a wrong value there finds nothing.
Trace = dict[str, Any]


def _nothing() -> None:
    return None


@dataclass(frozen=True)
class Jaeger:
    """A Jaeger that answers, and `how` it was had.

    `endpoint` is the base URL for OTLP/HTTP, `grpc_endpoint` the one for OTLP/gRPC,
    `query` that of the query API. `passed_over` holds the ways that were tried before.
    """

    endpoint: str
    grpc_endpoint: str
    query: str
    how: str
    passed_over: tuple[str, ...] = ()
    stop: Callable[[], None] = field(default=_nothing, repr=False)

    def services(self) -> list[str]:
        """Every service.name Jaeger has seen."""
        return sorted((get_json(f"{self.query}/api/services") or {}).get("data") or [])

    def trace(self, trace_id: str) -> Trace | None:
        """One trace in Jaeger's JSON by its 32 hex digits, or None if it is not there."""
        found = get_json(f"{self.query}/api/traces/{trace_id}")
        return found["data"][0] if found and found.get("data") else None

    def search(
        self,
        service: str,
        tags: Mapping[str, str] | None = None,
        *,
        operation: str | None = None,
        seconds_back: float = 3600,
        limit: int = 100,
    ) -> list[Trace]:
        """The traces in which one span of `service` has all of `tags`, newest first.

        Values are compared as text, and resource attributes count as the span's own.
        """
        now = time.time()
        query = {"service": service, "limit": str(limit)}
        # A little into the future: a test's own clock may have made the span.
        query |= {"start": _micros(now - seconds_back), "end": _micros(now + 3600)}
        if tags:
            query["tags"] = json.dumps(dict(tags))
        if operation:
            query["operation"] = operation
        return list((get_json(f"{self.query}/api/traces", query) or {}).get("data") or [])

    def wait_for_trace(self, trace_id: str, spans: int = 1, timeout: float = 10.0) -> Trace:
        """The trace once it has at least `spans` spans; TimeoutError tells how many came."""
        seen: Trace = {"spans": []}

        def complete() -> bool:
            nonlocal seen
            seen = self.trace(trace_id) or seen
            return len(seen["spans"]) >= spans

        if until(complete, timeout):
            return seen
        names = sorted(span["operationName"] for span in seen["spans"])
        raise TimeoutError(
            f"trace {trace_id} has {len(names)} of {spans} spans in Jaeger at {self.query} after {timeout:g} s: {names}"
        )


@dataclass(frozen=True)
class NoJaeger:
    """There is no Jaeger for the tests, and why."""

    reason: str

    @property
    def how(self) -> str:
        """The same phrase that a Jaeger has here."""
        return f"absent: {self.reason}"


def _micros(seconds: float) -> str:
    return str(int(seconds * 1_000_000))
