"""What masking costs, against the bare SDK span of the same run.

Fifty secrets are known, each in all its forms. The texts hold none of them: that is what nearly
every text of every phase is like. The budget is 50 µs for a phase with 1 KiB of free text.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable
from itertools import count

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider

from benchmarks.phase import ATTRIBUTES, BASE, PHASES, _many, _sdk_span
from benchmarks.timing import in_turns, table
from otel_workflow.masking import mask, masked, watch_environment
from otel_workflow.values import clean_attributes

__all__ = ("main",)

KNOWN = 50
STACK = (
    "Traceback (most recent call last):\n"
    '  File "/usr/lib/python3.11/site-packages/pipeline/steps.py", line 212, in run_step\n'
    "    result = self.execute(step, timeout=self.timeout, retries=3)\n"
    '  File "/usr/lib/python3.11/site-packages/pipeline/runner.py", line 88, in execute\n'
    '    raise StepFailed(f"step {name!r} ended with exit code {code}")\n'
    "pipeline.errors.StepFailed: step 'compile' ended with exit code 2\n"
)
PROSE = (
    "The step compiled 214 of 216 files and stopped at the first one that it could not read: src/app/main.c, line 12. "
)


def _texts(seed: str, size: int = 1024) -> Callable[[], str]:
    """Return a function that gives another text of this size each time, so that none is remembered."""
    numbers, body = count(), (seed * (size // len(seed) + 1))[: size - 8]
    return lambda: f"{next(numbers):08d}{body}"


def _of(make: Callable[[], str]) -> Callable[[], None]:
    def run() -> None:
        masked(make())

    return run


def _ordinary() -> None:
    """All that a phase with six short attributes is asked: name, run, reason, the environment at both ends."""
    watch_environment()
    masked("lint")
    clean_attributes(ATTRIBUTES)
    watch_environment()
    masked("")
    masked("lint")


def main() -> None:
    """Print the table."""
    provider = TracerProvider(resource=Resource({}), shutdown_on_exit=False)
    provider.add_span_processor(SpanProcessor())
    mask(*(secrets.token_urlsafe(24) for _ in range(KNOWN)))
    secret = secrets.token_urlsafe(24)
    mask(secret)
    hidden = base64.b64encode(f"user:{secret}".encode()).decode()
    cases = [
        (BASE, _sdk_span(provider.get_tracer("bench"))),
        ("cleaning and masking a phase with six short attributes", _ordinary),
        ("1 KiB of prose", _of(_texts(PROSE))),
        ("1 KiB of a stack trace", _of(_texts(STACK))),
        ("1 KiB with a secret in base64", _of(_texts(f"{STACK[:600]} {hidden} {STACK}"))),
        ("1 KiB with eight assignments", _of(_texts(f"{PROSE} token=abc123 password: x9 {PROSE} ?api_key=y {PROSE}"))),
        ("24 characters not seen before", _of(_texts("job-0123456789", 24))),
    ]
    times = {name: value / PHASES for name, value in in_turns([(n, _many(f)) for n, f in cases], 4).items()}
    table(f"Masking, {KNOWN} secrets known", times, BASE)
