"""Reads received spans as a test wants to state them: by name, in plain words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from otel_workflow.testing import OtlpReceiver

__all__ = ("ends", "named", "parents", "sent_more_than_once")

STATUS = {0: "unset", 1: "ok", 2: "ERROR"}


def named(spans: Sequence[dict[str, Any]], name: str) -> dict[str, Any]:
    """Return the one span of this name."""
    [found] = [span for span in spans if span["name"] == name]
    return found


def parents(spans: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Return the name of each span's parent by the span's name; "-" for a root, "?" for an orphan."""
    names = {span["span_id"]: span["name"] for span in spans} | {"": "-"}
    return {span["name"]: names.get(span["parent_span_id"], "?") for span in spans}


def ends(spans: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Return how each span ended by its name: outcome, error.type if any, status."""
    return {span["name"]: _end(span) for span in spans}


def _end(span: dict[str, Any]) -> str:
    attributes = span["attributes"]
    outcome = attributes.get("cicd.pipeline.result") or attributes.get("cicd.pipeline.task.run.result")
    return " ".join(filter(None, [outcome, attributes.get("error.type"), STATUS[span["status"]["code"]]]))


def sent_more_than_once(receiver: OtlpReceiver) -> list[str]:
    """Return the ids of spans that came in twice."""
    return [span_id for span_id, count in Counter(i for i, _ in receiver.span_bytes()).items() if count > 1]
