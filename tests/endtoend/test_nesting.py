"""A phase finds its parent across tasks, threads, pools and processes."""

from __future__ import annotations

from pathlib import Path

import pytest

from otel_workflow.testing import OtlpReceiver
from tests.endtoend.processes import Program
from tests.endtoend.shipping import ship
from tests.endtoend.spans import parents

RUN = "RUN nesting"
# Where the context or the environment goes along, the phase that was open is the parent.
INSIDE = {RUN: "-", "outer": RUN, "first": "outer", "second": "outer", "in first": "first", "in second": "second"}
# A new thread knows nothing and a plain child process finds the run in its environment, not the phase.
OF_THE_RUN = INSIDE | {"first": RUN, "second": RUN}

BORDERS = {
    "tasks": INSIDE,
    "TaskGroup": INSIDE,
    "to_thread": INSIDE,
    "trio nursery": INSIDE,
    "bare threads": OF_THE_RUN,
    "threads with context": INSIDE,
    "threads with parent": INSIDE,
    "thread pool": OF_THE_RUN,
    "thread pool with parent": INSIDE,
    "process pool, fork": INSIDE,
    "process pool, spawn": OF_THE_RUN,
    "process pool with parent": INSIDE,
    "multiprocessing fork": INSIDE,
    "multiprocessing spawn": OF_THE_RUN,
    "multiprocessing forkserver": OF_THE_RUN,
    "child_env": INSIDE,
    "plain subprocess": OF_THE_RUN,
    "pickled parent": INSIDE,
    "decorated in a pool": {RUN: "-", "outer": RUN, "decorated": RUN, "in decorated": "decorated"},
}


@pytest.mark.parametrize("border", BORDERS)
def test_phases_beyond_a_border_are_in_the_trace_under_the_right_parent(border: str, tmp_path: Path) -> None:
    with Program("nesting", border, OW_JOURNAL=str(tmp_path)) as program:
        trace_id = program.hear()["trace"]
        assert (0, "") == program.finish()[:2]
    with OtlpReceiver() as receiver:
        ship(tmp_path, receiver.endpoint)

    assert BORDERS[border] == parents(receiver.spans)
    assert {trace_id} == {span["trace_id"] for span in receiver.spans}
    guessed = {s["name"] for s in receiver.spans if s["attributes"].get("otel_workflow.parent.inferred")}
    assert ({"first", "second"} if border in ("bare threads", "thread pool") else set()) == guessed
