"""For tests of those who use us: capture a workflow, move a clock, receive real OTLP, break a network."""

from __future__ import annotations

from otel_workflow.testing.books import Balance
from otel_workflow.testing.capture import Captured, capture_workflow
from otel_workflow.testing.fault_proxy import FaultProxy
from otel_workflow.testing.manual_clock import ManualClock
from otel_workflow.testing.received import Received
from otel_workflow.testing.receiver import OtlpReceiver
from otel_workflow.testing.reply import Reply

__all__ = ("Balance", "Captured", "FaultProxy", "ManualClock", "OtlpReceiver", "Received", "Reply", "capture_workflow")
