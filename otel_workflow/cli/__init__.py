"""The command line: ``otel-workflow VERB``, one file per verb, everything loaded on use."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ("main",)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; ``None`` takes the process's own arguments."""
    from otel_workflow.cli.ending import exit_code_of

    return exit_code_of(arguments)
