"""Makes the root of a CI job's run, once: two records in the job's journal, for whoever ships it.

Nobody but the last step of a job knows how it ended, and no process lives as long as the job does.
So the root is written when that step says so, under the id that everything in the job has computed
as its parent. Its start is the earliest evidence the journal has of the job.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from otel_workflow.ci import Job, detect, ids_of, outcome_named, root_records
from otel_workflow.errors import ConfigError, JournalError
from otel_workflow.events import END_TRANSITIONS, TRANSITIONS, Outcome
from otel_workflow.journal import EVENT, DirectoryLock, JournalReader, JournalWriter
from otel_workflow.journal.record import EVENT_HEAD
from otel_workflow.journal.writer import prepare_directory
from otel_workflow.masking import learn_environment
from otel_workflow.runtime.resource import header_of, named, resource_of
from otel_workflow.settings import Settings

__all__ = ("Closing", "closing_of")

_ENDS = frozenset(TRANSITIONS.index(name) for name in END_TRANSITIONS)
_PATIENCE, _PAUSE = 5.0, 0.02


@dataclass(slots=True)
class Closing:
    """What is to be closed, and how; ``state`` says after ``close`` what came of it.

    ``ids`` are trace id and span id in hex; ``elsewhere`` is True where the provider's side makes
    the root (``OW_JOB=provider``) and nothing is to be done.
    """

    job: Job
    ids: tuple[str, str]
    outcome: Outcome
    workflow: str = ""
    elsewhere: bool = False
    state: str = "open"

    @property
    def name(self) -> str:
        """What the run is called."""
        return self.workflow or self.job.name

    def look(self, directory: Path) -> int | None:
        """Return when the job began (ns) as far as the journal knows, None where it does not; sets ``state``."""
        trace, span = (bytes.fromhex(each) for each in self.ids)
        earliest: int | None = None
        for payload in _events(directory):
            _, transition, _, _, of_trace, of_span, _, time_ns, _ = EVENT_HEAD.unpack_from(payload)
            if of_trace != trace:
                continue
            earliest = time_ns if earliest is None else min(earliest, time_ns)
            if of_span == span and transition in _ENDS:
                self.state = "closed before"
        return earliest

    def close(self, directory: Path, environ: Mapping[str, str], destination: str) -> None:
        """Write the root unless it is there already; sets ``state``.

        Raises JournalError (OW-206) when the journal does not take it, or another process holds on
        to the closing of it.
        """
        now = time.time_ns()
        learn_environment()
        header = partial(_header, environ, self.name, destination)
        writer = JournalWriter(str(directory), header, sync="always")
        lock = DirectoryLock(directory, "close")
        try:
            _take(lock, directory)
            began = self.look(directory)
            if self.state == "closed before":
                return
            start, end = root_records(
                self.job, self.ids, self.outcome, min(began or now, now), time.time_ns(), self.workflow
            )
            if not (writer.write(EVENT, start) and writer.write(EVENT, end)):
                raise _unwritten(directory, ", ".join(writer.dropped))
            self.state = "closed"
        finally:
            writer.close()
            lock.release()


def closing_of(result: str, settings: Settings, environ: Mapping[str, str]) -> Closing:
    """Return what ``--close RESULT`` asks for.

    Raises ConfigError: OW-122 for a word that is no result, OW-127 outside CI, OW-104, OW-128 and
    OW-129 where the ids cannot be computed.
    """
    outcome = outcome_named(result)
    if outcome is None:
        words = ", ".join(each.value for each in Outcome)
        raise ConfigError(f"--close={result!r} is not a result", code="OW-122", hint=f"one of {words}")
    job = detect(environ, settings.check_run_id)
    if job is None:
        raise ConfigError(
            "--close: this is no CI job that is known here",
            code="OW-127",
            hint="call it in a job's last step; elsewhere leave it out, the outermost run ends by itself",
        )
    if settings.job == "provider":
        return Closing(job, ("", ""), outcome, elsewhere=True)
    return Closing(job, ids_of(job, settings.ids), outcome, settings.workflow)


def _header(environ: Mapping[str, str], name: str, destination: str) -> dict[str, Any]:
    return header_of(named(resource_of(environ, None), name), destination)


def _events(directory: Path) -> Iterator[bytes]:
    """Yield all event records that the journal still has, delivered ones too."""
    if not directory.is_dir():
        return
    for segment in JournalReader(directory, retired=True).segments():
        for record in segment.read():
            if record.kind == EVENT and len(record.payload) > EVENT_HEAD.size:
                yield record.payload


def _take(lock: DirectoryLock, directory: Path) -> None:
    """Wait for our turn: two that close at once are one that closes and one that finds it closed."""
    end = time.monotonic() + _PATIENCE
    _prepare(directory)
    while not lock.acquire():
        if time.monotonic() > end:
            raise _unwritten(directory, "another process is closing the job")
        time.sleep(_PAUSE)


def _prepare(directory: Path) -> None:
    try:
        prepare_directory(os.fspath(directory))
    except OSError as error:
        raise _unwritten(directory, error.strerror or str(error)) from None


def _unwritten(directory: Path, why: str) -> JournalError:
    return JournalError(
        f"the end of the job was not recorded in {str(directory)!r}: {why}",
        code="OW-206",
        hint="give another --journal, or make room",
    )
