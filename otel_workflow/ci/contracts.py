"""Id contracts: how trace id and root span id of a job are computed, by us and by others.

All jobs of a run share one trace, and nobody needs to be asked for it. ``otel-workflow`` is our
own. ``githubreceiver`` (since 0.151) and ``githubreceiver-older`` are those of the OpenTelemetry
Collector's receiver for GitHub, for who has that make the spans above the job: the same job gets
the same id there. Their texts are joined with nothing between, which is theirs to answer for.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256

from otel_workflow.ci.providers import Job
from otel_workflow.errors import ConfigError

__all__ = ("CONTRACTS", "ids_of")

_LIKE_GITHUB = ("github", "gitea", "forgejo")


def _hash(*texts: str) -> str:
    return sha256("".join(texts).encode("utf-8", "surrogateescape")).hexdigest()


def _trace(digest: str) -> str:
    return digest[:32]


def _span(digest: str) -> str:
    return digest[16:32]


def _ours(job: Job) -> tuple[str, str]:
    """Host and repository are in it, and a line end between any two texts: no two jobs meet."""
    run = f"otel-workflow\n{job.provider}\n{job.host}\n{job.repository}\n{job.run_id}\n{job.attempt}"
    return _trace(_hash(run, "\ntrace")), _span(_hash(run, "\njob\n", job.check_run_id or job.key))


def _receiver(job: Job) -> tuple[str, str]:
    _is_github(job, "githubreceiver")
    if not job.check_run_id:
        raise ConfigError(
            "the ids of githubreceiver need the job's check run id",
            code="OW-128",
            hint="give the job env: OW_CHECK_RUN_ID: ${{ job.check_run_id }}",
        )
    return _trace(_hash(job.run_id, job.attempt, "t")), _span(_hash(job.check_run_id, "-j"))


def _older_receiver(job: Job) -> tuple[str, str]:
    """The receiver takes the job's shown name; it is GITHUB_JOB unless the job has a ``name:`` or a matrix."""
    _is_github(job, "githubreceiver-older")
    return _trace(_hash(job.run_id, job.attempt, "t")), _span(_hash(job.run_id, job.attempt, job.label))


def _is_github(job: Job, contract: str) -> None:
    if job.provider not in _LIKE_GITHUB:
        raise ConfigError(
            f"the ids of {contract} are for GitHub, and this job is {job.provider}'s",
            code="OW-129",
            hint="give --ids otel-workflow, or unset OW_IDS",
        )


CONTRACTS: dict[str, Callable[[Job], tuple[str, str]]] = {
    "otel-workflow": _ours,
    "githubreceiver": _receiver,
    "githubreceiver-older": _older_receiver,
}
"""By the name that ``OW_IDS`` and ``--ids`` take: from a job to trace id and span id, in hex."""


def ids_of(job: Job, contract: str) -> tuple[str, str]:
    """Return trace id and root span id of a job, in hex.

    Raises ConfigError: OW-104 for a contract that nobody knows, OW-128 where GitHub's check run id
    is missing, OW-129 for a job that is not GitHub's.
    """
    make = CONTRACTS.get(contract)
    if make is None:
        raise ConfigError(f"ids={contract!r} is no id contract", code="OW-104", hint=f"one of {', '.join(CONTRACTS)}")
    return make(job)
