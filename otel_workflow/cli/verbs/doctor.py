"""``otel-workflow doctor``: finds out what is installed, set and reachable."""

from __future__ import annotations

from typing import Annotated

import typer

from otel_workflow.cli.options import AsJson, JournalDir

__all__ = ("doctor",)


def doctor(
    jaeger: Annotated[
        str | None, typer.Option("--jaeger", metavar="URL", help="Read the test span back from Jaeger at this address.")
    ] = None,
    journal: JournalDir = None,
    as_json: AsJson = False,
) -> int:
    """Check versions, settings, journal and endpoint; send a test span and read it back.

    Exit code 1 when a check failed. No endpoint is a note, not a failure.
    """
    from dataclasses import asdict

    from otel_workflow.cli.doctoring import examine
    from otel_workflow.cli.output import show, show_json, stdout_style
    from otel_workflow.events import Outcome
    from otel_workflow.report.wording import printable

    style = stdout_style()
    marks = {"ok": Outcome.SUCCESS, "failed": Outcome.FAILURE}
    checks = []
    for check in examine(journal, jaeger):
        checks.append(check)
        if not as_json:
            outcome = marks.get(check.state)
            mark = style.paint(outcome, style.mark(outcome)) if outcome is not None else " "
            show(f"{mark} {check.name:<10} {printable(check.said)}")
    failed = [check.name for check in checks if check.state == "failed"]
    if as_json:
        show_json({"schema": 1, "ok": not failed, "checks": [asdict(check) for check in checks]})
    return 1 if failed else 0
