"""For tests of those who use us: capture a workflow, move a clock, receive real OTLP."""

from __future__ import annotations

from otel_workflow.testing.capture import Captured, capture_workflow
from otel_workflow.testing.manual_clock import ManualClock
from otel_workflow.testing.receiver import OtlpReceiver

__all__ = ("Captured", "ManualClock", "OtlpReceiver", "capture_workflow")
