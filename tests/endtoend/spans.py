"""Reads received spans as a test wants to state them: by name, in plain words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from otel_workflow.testing import OtlpReceiver

__all__ = ("MARKER", "ends", "in_two_versions", "named", "parents", "sent_more_than_once")

MARKER = "run started"
"""The span that a run of ten seconds sends besides: any run may last so long on a busy machine."""
STATUS = {0: "unset", 1: "ok", 2: "ERROR"}


def named(spans: Sequence[dict[str, Any]], name: str) -> dict[str, Any]:
    """Return the one span of this name."""
    [found] = {span["span_id"]: span for span in spans if span["name"] == name}.values()
    return found


def parents(spans: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Return the name of each span's parent by the span's name; "-" for a root, "?" for an orphan."""
    names = {span["span_id"]: span["name"] for span in spans} | {"": "-"}
    return {span["name"]: names.get(span["parent_span_id"], "?") for span in spans if span["name"] != MARKER}


def ends(spans: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Return how each span ended by its name: outcome, error.type if any, status; without a marker."""
    return {span["name"]: _end(span) for span in spans if span["name"] != MARKER}


def _end(span: dict[str, Any]) -> str:
    attributes = span["attributes"]
    outcome = attributes.get("cicd.pipeline.result") or attributes.get("cicd.pipeline.task.run.result")
    return " ".join(filter(None, [outcome, attributes.get("error.type"), STATUS[span["status"]["code"]]]))


def sent_more_than_once(receiver: OtlpReceiver) -> list[str]:
    """Return the ids of spans that came in twice."""
    return _repeated(span_id for span_id, _ in receiver.span_bytes())


def in_two_versions(receiver: OtlpReceiver) -> list[str]:
    """Return the ids of spans that came in twice and not the same: this must never be.

    That the same bytes come twice may be, where a sender died or gave up before the answer came.
    """
    return _repeated(span_id for span_id, _ in set(receiver.span_bytes()))


def _repeated(ids: Iterable[str]) -> list[str]:
    return [span_id for span_id, count in Counter(ids).items() if count > 1]
