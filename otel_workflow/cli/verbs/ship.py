"""``otel-workflow ship``: deliver once what waits in the journal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from otel_workflow.cli.options import AsJson, JournalDir

if TYPE_CHECKING:
    from pathlib import Path

    from otel_workflow.bridge.http import Destination
    from otel_workflow.cli.shipping import Outcome

__all__ = ("ship",)

_DEADLINE = 30.0
_REFUSED, _WRONG, _WAITS = 1, 2, 3


def ship(
    deadline: Annotated[
        float | None, typer.Option("--deadline", metavar="S", min=0.0, help="Keep trying for S seconds.")
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit 3 if something waits, 1 if something was refused for good.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be sent.")] = False,
    journal: JournalDir = None,
    as_json: AsJson = False,
) -> int:
    """Deliver the spans that wait in the journal to OTEL_EXPORTER_OTLP_ENDPOINT.

    Phases whose process was killed are sent as they are known. Without --deadline the wait is at
    most 30 seconds (OW_DEADLINE) while spans are taken, and 0.3 seconds without progress. With
    --deadline, silence and answers that ask for patience (429, 503) are borne until then; a
    refused connection ends it at once. What is not delivered stays in the journal.

    Exit code 0 even when something waits or no endpoint is set; with --strict 3 when something
    waits, 1 when something was refused for good, 2 when no endpoint is set.
    """
    import os

    from otel_workflow.bridge.http import Destination
    from otel_workflow.cli.place import journal_directory
    from otel_workflow.settings import Settings

    settings = Settings.read(os.environ, {"deadline": deadline})
    directory = journal_directory(journal)
    destination = Destination.from_environ(os.environ)
    if dry_run or destination is None:
        return _only_look(directory, destination, strict=strict and not dry_run, as_json=as_json)
    limit = _DEADLINE if settings.deadline is None else settings.deadline
    outcome = _ship(directory, destination, limit, patient=deadline is not None)
    _report(outcome, directory, destination, as_json=as_json)
    if strict and outcome.refused:
        return _REFUSED
    return _WAITS if strict and outcome.waiting else 0


def _ship(directory: Path, destination: Destination, limit: float, *, patient: bool) -> Outcome:
    from otel_workflow.bridge.http import OtlpHttpClient
    from otel_workflow.cli.output import tell
    from otel_workflow.cli.shipping import Outcome, ship_once

    if not directory.is_dir():
        return Outcome()
    client = OtlpHttpClient(destination)
    return ship_once(directory, client, destination.key, deadline=limit, patient=patient, tell=tell)


def _only_look(directory: Path, destination: Destination | None, *, strict: bool, as_json: bool) -> int:
    """Say what waits, and send nothing: asked to, or for want of an endpoint."""
    from otel_workflow.cli.backlog import look_at
    from otel_workflow.cli.output import show_json, tell

    waiting = look_at(directory, destination.key if destination else None).waiting
    if as_json:
        where = destination.display if destination else None
        show_json({"schema": 1, "journal": str(directory), "endpoint": where, "delivered": 0, "waiting": waiting})
    if destination is None:
        tell(
            f"no endpoint is set, so {_spans(waiting)} in {directory} {_stay(waiting)}; set OTEL_EXPORTER_OTLP_ENDPOINT, "
            "for example to http://localhost:4318"
        )
        return _WRONG if strict else 0
    tell(f"{_spans(waiting)} in {directory} would be sent to {destination.display}")
    return 0


def _report(outcome: Outcome, directory: Path, destination: Destination, *, as_json: bool) -> None:
    """Say how many went where, and how to send the rest."""
    import shlex

    from otel_workflow.cli.output import show_json, tell

    if as_json:
        show_json({
            "schema": 1,
            "journal": str(directory),
            "endpoint": destination.display,
            "delivered": outcome.delivered,
            "refused": outcome.refused,
            "refusals": list(outcome.reasons),
            "waiting": outcome.waiting,
            "stopped": outcome.stopped,
            "said": outcome.said,
        })
    if outcome.delivered or not (outcome.refused or outcome.waiting):
        tell(f"{_spans(outcome.delivered)} delivered to {destination.display}" if outcome.delivered else "nothing waits")
    if outcome.refused:
        tell(f"{_spans(outcome.refused)} refused for good by {destination.display}: {'; '.join(outcome.reasons)}")
    if outcome.waiting:
        command = f"otel-workflow ship --deadline 60 --journal {shlex.quote(str(directory))}"
        tell(f"{_spans(outcome.waiting)} still wait{'s' if outcome.waiting == 1 else ''}, {_why(outcome)}; send with: {command}")


def _why(outcome: Outcome) -> str:
    if outcome.stopped == "locked":
        return "another process ships this journal"
    ended = "time ran out" if outcome.stopped == "deadline" else "the endpoint did not take them"
    return f"{ended}: {outcome.said}" if outcome.said else ended


def _spans(count: int) -> str:
    return f"{count} span{'' if count == 1 else 's'}"


def _stay(count: int) -> str:
    return "stays there" if count == 1 else "stay there"
