"""What the daemon's paths answer: ``/v1/traces`` and ``/v1/logs``, ``/metrics``, ``/healthz``, ``/``."""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable, Mapping
from typing import Any, Literal

from otel_workflow.bridge.answer import PROTOBUF
from otel_workflow.bridge.daemon.counting import Step, no_step
from otel_workflow.bridge.daemon.http_server import Reply, Request, Route
from otel_workflow.bridge.daemon.ingest import Ingest, OverloadedError, Taken, TooLargeError
from otel_workflow.bridge.metrics import MetricsWriter
from otel_workflow.bridge.otlp import varint
from otel_workflow.bridge.shown import one_line

__all__ = ("VIA", "is_allowed", "otlp_routes", "partial_success", "shown_routes")

VIA = "otel-workflow-via"
"""The header (gRPC: metadata) that names the daemons a forwarded request came from."""

_STATUS = {"malformed": 400, "too large": 413, "overloaded": 503, "not stored": 503, "loop": 508}
_SCRAPER = "X-Prometheus-Scrape-Timeout-Seconds"


def is_allowed(token: bytes, authorization: str) -> bool:
    """Compare a bearer token in constant time; without a token everybody is allowed."""
    given = authorization.partition(" ")
    return not token or (
        given[0].lower() == "bearer" and hmac.compare_digest(given[2].strip().encode("utf-8", "replace"), token)
    )


def partial_success(taken: Taken) -> bytes:
    """Return an ``Export…ServiceResponse``; empty when everything was taken."""
    if not taken.rejected:
        return b""
    message = taken.message.encode()[:100]
    said = b"\x08" + varint(taken.rejected) + b"\x12" + varint(len(message)) + message
    return b"\x0a" + varint(len(said)) + said


def otlp_routes(ingest: Ingest, token: bytes) -> Mapping[str, Route]:
    """Return the paths of an OTLP receiver."""

    def receive(kind: Literal["traces", "logs"]) -> Callable[[Request], Reply]:
        return lambda request: _receive(ingest, kind, token, request)

    def metrics(_: Request) -> Reply:
        return Reply(404, b"metrics are made here, not taken: send traces and logs\n", close=True)

    return {
        "/v1/traces": Route("POST", receive("traces")),
        "/v1/logs": Route("POST", receive("logs")),
        "/v1/metrics": Route("POST", metrics),
    }


def _receive(ingest: Ingest, kind: Literal["traces", "logs"], token: bytes, request: Request) -> Reply:
    headers = request.headers
    if not is_allowed(token, headers.get("Authorization") or ""):
        ingest.refuse("no token")
        return Reply(401, b"a bearer token is wanted\n", headers={"WWW-Authenticate": "Bearer"}, close=True)
    content_type = (headers.get("Content-Type") or "").partition(";")[0].strip().lower()
    if content_type != PROTOBUF:
        said = f"{one_line(content_type) or 'no content type'} is not taken: send {PROTOBUF}\n"
        return Reply(415, said.encode(), close=True)
    encoding = (headers.get("Content-Encoding") or "identity").strip().lower()
    if encoding not in ("identity", "gzip"):
        return Reply(415, b"only gzip is taken\n", headers={"Accept-Encoding": "gzip"}, close=True)
    try:
        with ingest.body(gzip=encoding == "gzip") as body:
            request.read_body(body)
            taken = ingest.take(kind, body.finish(), headers.get(VIA) or "")
    except TooLargeError:
        ingest.refuse("too large")
        raise
    except OverloadedError:
        ingest.refuse("overloaded")
        raise
    except ValueError:
        ingest.refuse("malformed")
        raise
    if taken.refusal is None:
        return Reply(200, partial_success(taken), PROTOBUF)
    message = one_line(taken.message).encode()
    retry = {"Retry-After": str(taken.retry_after)} if taken.retry_after is not None else {}
    # The body is a google.rpc.Status, whose second field is the message.
    return Reply(_STATUS[taken.refusal], b"\x12" + varint(len(message)) + message, PROTOBUF, retry)


def shown_routes(
    pages: MetricsWriter | None, health: Callable[[], tuple[bool, Mapping[str, Any]]], *, step: Step = no_step
) -> Mapping[str, Route]:
    """Return the paths for people and scrapers; without ``pages`` there is no ``/metrics``."""

    def metrics(request: Request) -> Reply:
        return _metrics(pages, request, step) if pages is not None else Reply(404)

    def healthz(_: Request) -> Reply:
        good, document = health()
        body = json.dumps({"schema": 1, **document}, indent=2).encode() + b"\n"
        return Reply(200 if good else 503, body, "application/json")

    def front(_: Request) -> Reply:
        lines = ["otel-workflow bridge", "/healthz   how it is", *(["/metrics   what it counted"] if pages else [])]
        return Reply(200, "\n".join([*lines, ""]).encode())

    shown = {"/": Route("GET", front), "/healthz": Route("GET", healthz)}
    return {**shown, "/metrics": Route("GET", metrics)} if pages is not None else shown


def _metrics(pages: MetricsWriter, request: Request, step: Step) -> Reply:
    page = pages.page(request.headers.get("Accept") or "")
    step("page made")

    def sent() -> None:
        step("page sent")
        pages.served(page.serial)
        step("page served")

    # Only what asks as a scraper does has kept the 0 that a new series begins with; a person with curl has not.
    is_scrape = request.headers.get(_SCRAPER) is not None
    return Reply(200, page.body, page.content_type, sent=sent if is_scrape else None)
