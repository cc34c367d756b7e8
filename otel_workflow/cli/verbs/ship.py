"""``otel-workflow ship``: deliver once what waits in the journal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from otel_workflow.cli.options import AsJson, JournalDir, seconds
from otel_workflow.cli.own_name import own_name

if TYPE_CHECKING:
    from pathlib import Path

    from otel_workflow.bridge.destination import Destination
    from otel_workflow.cli.closing import Closing
    from otel_workflow.cli.shipping import Shipped
    from otel_workflow.settings import Settings

__all__ = ("ship",)

_DEADLINE = 30.0
_REFUSED, _WAITS = 1, 3


def ship(
    deadline: Annotated[str | None, typer.Option("--deadline", metavar="S", help="Keep trying for S seconds.")] = None,
    close: Annotated[
        str | None, typer.Option("--close", metavar="RESULT", help="Close the CI job's run: how the job ended.")
    ] = None,
    ids: Annotated[
        str | None, typer.Option("--ids", metavar="C", help="With --close: the id contract of its ids (OW_IDS).")
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

    --close RESULT belongs into the last step of a CI job, the one that always runs: it makes the
    root of the job's run, once, under the id that the job's phases have as their parent, and
    then delivers. RESULT is success, failure, error, cancellation, skip or timeout, or the word
    that the provider has for it; outside CI it is an error.

    Exit code 0 even when something waits or no endpoint is set; with --strict 3 when something
    waits, 1 when something was refused for good, 2 when no endpoint is set.
    """
    import os

    from otel_workflow.bridge.destination import Destination
    from otel_workflow.cli.place import journal_directory
    from otel_workflow.cli.project import read_settings
    from otel_workflow.errors import ConfigError

    given = None if deadline is None else seconds("--deadline", deadline)
    settings = read_settings(os.environ, {"deadline": given, "ids": ids})
    if ids is not None and close is None:
        raise ConfigError(f"--ids={ids!r} says nothing without --close", code="OW-122", hint="--close success")
    closing = None
    if close is not None:
        from otel_workflow.cli.closing import closing_of

        closing = closing_of(close, settings, os.environ)
    directory = journal_directory(journal)
    destination = Destination.from_environ(os.environ)
    closed = closing is None or _close(closing, directory, destination, dry_run=dry_run)
    if dry_run or destination is None:
        return _only_look(directory, destination, closing, strict=strict and not dry_run, as_json=as_json)
    limit = _DEADLINE if settings.deadline is None else settings.deadline
    shipped = _ship(directory, destination, limit, settings, patient=given is not None)
    _report(shipped, directory, destination, closing, as_json=as_json)
    if strict and (shipped.refused or not closed):
        return _REFUSED
    return _WAITS if strict and shipped.waiting else 0


def _ship(directory: Path, destination: Destination, limit: float, settings: Settings, *, patient: bool) -> Shipped:
    from otel_workflow.bridge.clients import client_for
    from otel_workflow.cli.output import tell
    from otel_workflow.cli.shipping import Shipped, ship_once

    if not directory.is_dir():
        return Shipped()
    client = client_for(destination)
    return ship_once(
        directory,
        client,
        destination.key,
        deadline=limit,
        patient=patient,
        tell=tell,
        max_bytes=settings.journal_max,
        run_ttl=settings.run_ttl,
    )


def _close(closing: Closing, directory: Path, destination: Destination | None, *, dry_run: bool) -> bool:
    """Close the job's run, or say what would be done; False when the journal did not take it.

    That is no error of the build, so it is only said.
    """
    import os

    from otel_workflow.cli.output import complain, tell
    from otel_workflow.errors import JournalError

    what = f"the run {closing.name!r} ({closing.outcome.value}) under trace {closing.ids[0]}, span {closing.ids[1]}"
    if closing.elsewhere:
        closing.state = "elsewhere"
        tell("the job's run is made by the provider's side (OW_JOB=provider); nothing is closed here")
        return True
    try:
        if dry_run:
            closing.look(directory)
        else:
            closing.close(directory, os.environ, destination.key if destination is not None else "")
    except JournalError as error:
        closing.state = "not recorded"
        complain(str(error))
        return False
    said = {"open": "would close {}", "closed": "closed {}", "closed before": "{} was closed before; nothing changes"}
    tell(said[closing.state].format(what))
    return True


def _said_of(closing: Closing | None) -> dict[str, object]:
    """Return what the document says of the closing, if one was asked for."""
    if closing is None:
        return {}
    trace_id, span_id = closing.ids
    return {
        "close": {
            "state": "would close" if closing.state == "open" else closing.state,
            "run": closing.name,
            "result": closing.outcome.value,
            "trace_id": trace_id,
            "span_id": span_id,
        }
    }


def _only_look(
    directory: Path, destination: Destination | None, closing: Closing | None, *, strict: bool, as_json: bool
) -> int:
    """Say what waits, and send nothing: asked to, or for want of an endpoint."""
    from otel_workflow.cli.backlog import look_at
    from otel_workflow.cli.output import show_json, tell
    from otel_workflow.errors import ConfigError

    waiting = look_at(directory, destination.key if destination else None).waiting
    if as_json:
        where = destination.display if destination else None
        said = {"journal": str(directory), "endpoint": where, "delivered": 0, "waiting": waiting}
        show_json({"schema": 1, **said, **_said_of(closing)})
    if destination is None:
        why = f"no endpoint is set, so {_spans(waiting)} {_stay(waiting)} in {directory}"
        hint = "set OTEL_EXPORTER_OTLP_ENDPOINT, for example to http://localhost:4318"
        if strict:
            raise ConfigError(why, code="OW-126", hint=hint)
        tell(f"{why}; {hint}")
        return 0
    tell(f"{_spans(waiting)} in {directory} would be sent to {destination.display}")
    return 0


def _report(
    shipped: Shipped,
    directory: Path,
    destination: Destination,
    closing: Closing | None = None,
    *,
    as_json: bool,
) -> None:
    """Say how many went where, and how to send the rest."""
    import shlex

    from otel_workflow.cli.output import show_json, tell

    if as_json:
        show_json(
            {
                "schema": 1,
                "journal": str(directory),
                "endpoint": destination.display,
                "delivered": shipped.delivered,
                "refused": shipped.refused,
                "refusals": list(shipped.reasons),
                "waiting": shipped.waiting,
                "stopped": shipped.stopped,
                "said": shipped.said,
                "elsewhere": shipped.elsewhere,
                "complete": shipped.complete,
                **_said_of(closing),
            }
        )
    if shipped.delivered:
        tell(f"{_spans(shipped.delivered)} delivered to {destination.display}")
    elif not shipped.refused and not shipped.waiting:
        tell(f"nothing waits for {destination.display}")
    if shipped.refused:
        tell(f"{_spans(shipped.refused)} refused for good by {destination.display}: {'; '.join(shipped.reasons)}")
    least = "" if shipped.complete else "at least "
    if shipped.waiting:
        command = f"{own_name()} ship --deadline 60 --journal {shlex.quote(str(directory))}"
        tell(f"{least}{_spans(shipped.waiting)} still waiting: {_why(shipped)}; send with: {command}")
    if shipped.elsewhere:
        others = f"{_spans(shipped.elsewhere)} recorded for another endpoint"
        tell(f"{least}{others} {_stay(shipped.elsewhere)} in {directory}")


def _why(shipped: Shipped) -> str:
    if shipped.stopped == "locked":
        return "another process ships this journal"
    ended = "time ran out" if shipped.stopped == "deadline" else "the endpoint did not take them"
    return f"{ended} ({shipped.said})" if shipped.said else ended


def _spans(count: int) -> str:
    return f"{count} span{'' if count == 1 else 's'}"


def _stay(count: int) -> str:
    return "stays" if count == 1 else "stay"
