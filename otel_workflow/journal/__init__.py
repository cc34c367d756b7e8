"""The journal: what happened, on disk, before anything else is done with it.

*Nothing is lost after the journal's write returns; delivery is at least once; duplicates are
byte-identical.* One directory per project or CI job, one segment per process.
"""

from __future__ import annotations

from otel_workflow.journal.cursor import Cursor, DirectoryLock
from otel_workflow.journal.dead_letters import DEAD, DeadLetters, read_dead_letters
from otel_workflow.journal.lasting import LastingWriter
from otel_workflow.journal.liveness import evidence_ns, is_alive
from otel_workflow.journal.memory import MemoryJournal
from otel_workflow.journal.reader import JournalReader, Record, Segment
from otel_workflow.journal.writer import ANCHOR, END, EVENT, HEADER, SPAN, JournalWriter

__all__ = (
    "ANCHOR",
    "DEAD",
    "END",
    "EVENT",
    "HEADER",
    "SPAN",
    "Cursor",
    "DeadLetters",
    "DirectoryLock",
    "Journal",
    "JournalReader",
    "JournalWriter",
    "LastingWriter",
    "MemoryJournal",
    "Record",
    "Segment",
    "evidence_ns",
    "is_alive",
    "read_dead_letters",
)

Journal = JournalWriter | MemoryJournal
