"""The checks of ``doctor``: what is installed, set and reachable, each with one line of finding."""

from __future__ import annotations

import json
import os
import platform
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

from otel_workflow import semconv
from otel_workflow.bridge.clients import client_for
from otel_workflow.bridge.destination import Destination
from otel_workflow.bridge.otlp import encode_request, encode_resource, encode_scope, encode_span
from otel_workflow.bridge.shown import displayed
from otel_workflow.bridge.span_data import SpanData
from otel_workflow.cli.place import journal_directory, reason_for
from otel_workflow.cli.project import read_settings
from otel_workflow.errors import ConfigError, OtelWorkflowError
from otel_workflow.journal.place import find_place
from otel_workflow.masking import masked
from otel_workflow.settings import SETTINGS
from otel_workflow.version import VERSION

__all__ = ("Check", "examine")

_PACKAGES = ("opentelemetry-api", "opentelemetry-sdk", "anyio", "pydantic", "typer")
_SECRET = ("HEADERS", "KEY", "CERTIFICATE")
_SEND_SECONDS, _READ_SECONDS, _PAUSE = 5.0, 10.0, 0.2


@dataclass(frozen=True, slots=True)
class Check:
    """One finding. A ``note`` is neither good nor bad; one ``failed`` makes the whole fail."""

    name: str
    state: Literal["ok", "note", "failed"]
    said: str


def examine(journal: Path | None, jaeger: str | None) -> Iterator[Check]:
    """Yield the checks one by one, slow ones last; never raises for what it finds."""
    yield Check("versions", "note", _versions())
    yield from _settings()
    yield _recording(os.environ)
    yield _journal(journal)
    yield from _delivery(jaeger)


def _versions() -> str:
    found = [f"otel-workflow {VERSION}", f"Python {platform.python_version()}"]
    for package in _PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            found.append(f"{package} missing")
    return ", ".join(found)


def _settings() -> Iterator[Check]:
    """Every setting that is not at its default, with its origin; OTel's own beside ours."""
    try:
        read = read_settings(os.environ)
    except ConfigError as error:
        yield Check("settings", "failed", str(error))
        return
    ours = [f"{s.env}={read.values[s.name]}" for s in SETTINGS if read.origins[s.name] == s.env]
    project = [f"{s.name}={read.values[s.name]}" for s in SETTINGS if read.origins[s.name].startswith("[")]
    theirs = [
        f"{name}={_harmless(name, value)}"
        for name, value in sorted(os.environ.items())
        if name.startswith("OTEL_") and value
    ]
    origins = (("the environment", ours + theirs), ("[tool.otel-workflow]", project))
    said = "; ".join(f"from {origin}: {', '.join(found)}" for origin, found in origins if found)
    yield Check("settings", "note", said or "all at their defaults")


def _harmless(name: str, value: str) -> str:
    """Return a variable's value without what nobody is to read over a shoulder or in a build's log."""
    if name.endswith(_SECRET):
        return "(set)"
    return masked(displayed(value) if "://" in value or name.endswith("ENDPOINT") else value)


def _recording(environ: Mapping[str, str]) -> Check:
    for name in ("OTEL_SDK_DISABLED", "OW_DISABLED"):
        value = environ.get(name, "").strip().lower()
        if value == "true" or (name == "OW_DISABLED" and value in ("1", "yes", "on")):
            return Check("recording", "failed", f"switched off by {name}={environ[name]}; unset it to record")
    return Check("recording", "ok", "on, wherever configure() was called or OW_JOURNAL is set")


def _journal(given: Path | None) -> Check:
    try:
        if given is not None:
            given = journal_directory(given)
        environ = os.environ if given is None else {"OW_JOURNAL": str(given)}
        place, passed = find_place(environ, Path.cwd())
    except OtelWorkflowError as error:
        return Check("journal", "failed", str(error))
    if place is None:
        return Check("journal", "failed", f"no directory can be written, so a kill loses events: {passed}")
    said = f"{place} ({reason_for(place, given, os.environ)})"
    return Check("journal", "ok", f"{said}; passed over: {passed}" if passed else said)


def _delivery(jaeger: str | None) -> Iterator[Check]:
    try:
        destination = Destination.from_environ(os.environ)
        page = _jaeger_address(jaeger, os.environ)
    except ConfigError as error:
        yield Check("endpoint", "failed", str(error))
        return
    if destination is None:
        why = "OTEL_TRACES_EXPORTER=none" if os.environ.get("OTEL_TRACES_EXPORTER") == "none" else "none is set"
        example = "OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4318"
        yield Check("endpoint", "note", f"{why}: everything stays in the journal and nothing is sent ({example})")
        return
    trace_id = os.urandom(16)
    sent = _send_test_span(destination, trace_id)
    yield sent
    if sent.state != "ok":
        return
    if page is None:
        yield Check("read back", "note", "not tried; give --jaeger http://localhost:16686, or set OW_TRACE_URL")
    else:
        yield _read_back(page, trace_id.hex())


def _send_test_span(destination: Destination, trace_id: bytes) -> Check:
    now = time.time_ns()
    span = SpanData(trace_id, os.urandom(8), "otel-workflow doctor", now, now + 1_000_000)
    group = (
        encode_resource({"service.name": "otel-workflow-doctor"}),
        "",
        encode_scope(semconv.SCOPE_NAME, VERSION),
        semconv.SCHEMA_URL,
        [encode_span(span)],
    )
    client, begun = client_for(destination), time.monotonic()
    answer = client.send(encode_request([group]), deadline=begun + _SEND_SECONDS)
    client.close()
    took = round((time.monotonic() - begun) * 1000)
    if answer.kind == "accepted" and not answer.rejected:
        return Check("endpoint", "ok", f"{destination.display} took a test span in {took} ms")
    status = f"{answer.status} " if answer.status else ""
    said = answer.message or answer.kind
    return Check("endpoint", "failed", f"{destination.display} did not take a test span: {status}{said}")


def _jaeger_address(given: str | None, environ: Mapping[str, str]) -> str | None:
    """Return where Jaeger answers: as given, or as OW_TRACE_URL's page of a trace tells it."""
    template = environ.get("OW_TRACE_URL", "")
    address = given or (template.partition("/trace/")[0] if "/trace/" in template else "")
    if not address:
        return None
    if not address.startswith(("http://", "https://")):
        raise ConfigError(
            f"--jaeger={address!r} is not an address", code="OW-122", hint="--jaeger http://localhost:16686"
        )
    return address.rstrip("/")


def _read_back(page: str, trace_id: str) -> Check:
    """Ask Jaeger for the test span until it is there or ten seconds are over."""
    url, end = f"{page}/api/traces/{trace_id}", time.monotonic() + _READ_SECONDS
    begun = time.monotonic()
    while True:
        found, said = _ask(url)
        if found:
            took = round((time.monotonic() - begun) * 1000)
            return Check("read back", "ok", f"the test span is in {page} after {took} ms")
        if time.monotonic() + _PAUSE > end:
            return Check("read back", "failed", f"the test span is not in {page}: {said}")
        time.sleep(_PAUSE)


def _ask(url: str) -> tuple[bool, str]:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310 - http or https, checked above
            body = json.loads(answer.read(1 << 20))
    except (urllib.error.URLError, OSError, ValueError) as error:
        return False, str(error)
    data = body.get("data") if isinstance(body, dict) else None
    return (True, "") if data else (False, "no such trace")
