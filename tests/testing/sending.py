"""Sends spans with our own client, for tests of what receives them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from otel_workflow.bridge.answer import Answer
from otel_workflow.bridge.destination import Destination
from otel_workflow.bridge.http import OtlpHttpClient
from otel_workflow.bridge.otlp import encode_request, encode_resource, encode_scope, encode_span
from otel_workflow.bridge.span_data import SpanData

__all__ = ("body", "client_of", "send", "span")


def span(number: int, **more: Any) -> SpanData:
    """A span with a number for an id."""
    return SpanData(b"t" * 16, number.to_bytes(8, "big"), f"phase {number}", 1, 2, **more)


def body(*spans: SpanData) -> bytes:
    """An export request with these spans."""
    resource, scope = encode_resource({"service.name": "ow"}), encode_scope("ow", "1")
    return encode_request([(resource, "", scope, "", [encode_span(each)]) for each in spans])


@contextmanager
def client_of(endpoint: str) -> Iterator[OtlpHttpClient]:
    """A client that is closed again."""
    client = OtlpHttpClient(Destination(f"{endpoint}/v1/traces"))
    try:
        yield client
    finally:
        client.close()


def send(client: OtlpHttpClient, what: bytes, within: float = 10.0) -> Answer:
    """Send one request, within seconds."""
    return client.send(what, deadline=time.monotonic() + within)
