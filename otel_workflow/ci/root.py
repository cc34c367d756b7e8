"""The root of a job's run, as two records of the journal: the one way in which spans come about."""

from __future__ import annotations

from typing import Any

from otel_workflow import semconv
from otel_workflow.ci.providers import Job
from otel_workflow.events import TRANSITIONS, Outcome, transition_of
from otel_workflow.journal.record import IS_RUN, SAMPLED, encode_event
from otel_workflow.values import clean_attributes, clean_text

__all__ = ("root_records",)

_NO_PARENT = b"\x00" * 8
_ERROR_TYPES = {
    Outcome.FAILURE: semconv.ERROR_TYPE_OTHER,
    Outcome.ERROR: semconv.ERROR_TYPE_OTHER,
    Outcome.TIMEOUT: "timeout",
}
_MAX_NAME = 1024


def root_records(
    job: Job, ids: tuple[str, str], outcome: Outcome, start_ns: int, end_ns: int, workflow: str = ""
) -> tuple[bytes, bytes]:
    """Return the payloads of start and end of the job's root, a run without a parent.

    ``ids`` are trace id and span id in hex, times ns since the epoch; ``workflow`` is its name where
    the provider's is not wanted. Masked like everything that is recorded.
    """
    trace, span = (bytes.fromhex(each) for each in ids)
    name = clean_text(workflow or job.name, _MAX_NAME)
    said: dict[str, Any] = {
        "name": name,
        "subject": "workflow",
        "run": clean_text(job.run_id, _MAX_NAME),
        "workflow": name,
    }
    begun = {**said, "attributes": clean_attributes(_attributes(job)), "seq": 1}
    ended = {**said, "start": start_ns, "outcome": outcome.value, "seq": 2}
    if outcome in _ERROR_TYPES:
        ended["error_type"] = _ERROR_TYPES[outcome]
    flags, number = SAMPLED | IS_RUN, TRANSITIONS.index(transition_of(outcome))
    return (
        encode_event(TRANSITIONS.index("started"), flags, trace, span, _NO_PARENT, start_ns, 0, begun),
        encode_event(number, flags, trace, span, _NO_PARENT, max(end_ns, start_ns), 0, ended),
    )


def _attributes(job: Job) -> dict[str, Any]:
    """What a search for the run asks: where it came from, and where it can be seen."""
    said = {
        semconv.PIPELINE_RUN_URL: job.url,
        semconv.VCS_REPOSITORY_NAME: job.repository.rpartition("/")[2],
        semconv.VCS_REPOSITORY_URL: job.vcs_url,
        semconv.VCS_HEAD_NAME: job.branch,
        semconv.VCS_HEAD_REVISION: job.revision,
    }
    made: dict[str, Any] = {name: value for name, value in said.items() if value}
    if job.attempt.isdigit() and int(job.attempt) > 1:
        made[semconv.ATTEMPT] = int(job.attempt)
    return made
