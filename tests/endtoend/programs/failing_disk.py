"""A program whose journal's disk is full in the middle of it; told on its standard input what comes next.

Arguments: none. Lines: ``phases N`` runs N phases in the open run, ``flush`` waits until all were
acknowledged, ``kept`` says how many records are in memory, ``end`` ends the run, waits until all of it was
acknowledged, and ends the program.
"""

from __future__ import annotations

import sys

import otel_workflow as ow

runtime = ow.configure()
journal = runtime._recorder.journal
count = 0
with ow.workflow("nightly"):
    print("begun", flush=True)
    for line in sys.stdin:
        word, _, number = line.strip().partition(" ")
        if word == "phases":
            for _ in range(int(number)):
                with ow.phase(f"phase {count}", attributes={"filler": "x" * 500}):
                    count += 1
            print(journal.kept, flush=True)  # type: ignore[union-attr]
        elif word == "flush":
            print(runtime.flush(timeout=20), flush=True)
        elif word == "kept":
            print(journal.kept, flush=True)  # type: ignore[union-attr]
        else:
            break
print(runtime.flush(timeout=30), flush=True)  # so that a busy machine does not decide what a test sees
