"""``otel-workflow status``: the books of the journal, at once and without network."""

from __future__ import annotations

from otel_workflow.cli.options import AsJson, JournalDir

__all__ = ("status",)


def status(journal: JournalDir = None, as_json: AsJson = False) -> int:
    """Show where the journal is, what is in it, what waits to be sent, and what was lost.

    Uses no network. Exit code 1 when the journal cannot be read.
    """
    from otel_workflow.cli.books import show_books

    return show_books(journal, as_json=as_json)
