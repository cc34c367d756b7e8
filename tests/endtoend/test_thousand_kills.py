"""Three processes killed at a random instant, over and over: what had begun is there, whole and once.

Fifty kills by default; ``OW_TEST_KILLS=1000`` for the figure of the README.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from otel_workflow.bridge.destination import Destination
from otel_workflow.bridge.directory import DirectoryShipper
from otel_workflow.bridge.http import OtlpHttpClient
from otel_workflow.report import load_runs
from otel_workflow.testing import OtlpReceiver
from tests.endtoend.processes import Program

KILLS = int(os.environ.get("OW_TEST_KILLS", "50"))
LOOK = 2.0
"""Seconds after a reader's first look until which everything that is open must be shown as interrupted."""


@dataclass
class Told:
    """What the processes of a group said before they died."""

    parents: dict[str, str] = field(default_factory=dict)
    ended: set[str] = field(default_factory=set)

    @classmethod
    def read(cls, place: Path) -> Told:
        told = cls()
        for who in ("leader", "child", "grandchild"):
            # The last line may be cut: it was being written when the kill came.
            for line in (place / who).read_text().split("\n")[:-1] if (place / who).exists() else ():
                word, span_id, *parent = line.split()
                if word == "began":
                    told.parents[span_id] = "" if parent == ["-"] else parent[0]
                else:
                    told.ended.add(span_id)
        return told


@dataclass
class Tally:
    """The sums over all kills; everything but ``phases``, ``open`` and ``kills`` must stay zero."""

    kills: int = 0
    phases: int = 0
    open: int = 0
    lost: int = 0
    wrong_parents: int = 0
    sent_twice: int = 0
    wrong_ends: int = 0
    late: int = 0
    unsent: int = 0


def _interrupted_after_a_look(journal: Path) -> set[str]:
    """Look until nothing is open any more, for at most two seconds; return what is shown as interrupted."""
    end = time.monotonic() + LOOK
    while True:
        phases = [phase for run in load_runs(journal) for _, phase in run.walk()]
        still = [phase for phase in phases if phase.is_open]
        if not still or time.monotonic() > end:
            return {phase.span_id for phase in phases if phase.interrupted} if not still else set()


def _kill_one(zygote: Program, place: Path, instant: float, tally: Tally) -> None:
    zygote.tell(str(place))
    group = zygote.hear()
    time.sleep(instant)
    os.killpg(group["group"], signal.SIGKILL)

    interrupted = _interrupted_after_a_look(place / "journal")
    told = Told.read(place)
    with OtlpReceiver() as receiver:
        where = Destination(f"{receiver.endpoint}/v1/traces")
        shipper = DirectoryShipper(place / "journal", OtlpHttpClient(where), "")
        assert shipper.acquire()
        assert shipper.drain(10.0)  # the root's process is dead as well: nothing is waited for
        shipper.release()
        spans = receiver.spans
    sent = {span["span_id"]: span for span in spans}

    tally.kills += 1
    tally.phases += len(told.parents)
    tally.open += len(interrupted)
    tally.lost += len(told.parents.keys() - sent.keys())
    tally.wrong_parents += sum(
        sent[span_id]["parent_span_id"] != parent for span_id, parent in told.parents.items() if span_id in sent
    )
    tally.sent_twice += sum(count - 1 for count in Counter(span["span_id"] for span in spans).values())
    # An end that was told is an end; the one that was being written may have been told no more.
    tally.wrong_ends += len(told.ended & interrupted)
    tally.late += len(told.parents.keys() - told.ended - interrupted - _ended_untold(sent))
    tally.unsent += len(interrupted - sent.keys())


def _ended_untold(sent: dict[str, dict[str, object]]) -> set[str]:
    """The ids of phases that were sent with an end of their own."""
    return {
        span_id
        for span_id, span in sent.items()
        if "otel_workflow.interrupted" not in span["attributes"]  # type: ignore[operator]
    }


@pytest.mark.timeout(60 + KILLS * 3)
def test_all_that_three_killed_processes_had_begun_is_sent_once(tmp_path: Path, table: list[str]) -> None:
    chance, tally = random.Random(20261121), Tally()
    with Program("group") as zygote:
        for number in range(KILLS):
            place = tmp_path / str(number)
            place.mkdir()
            _kill_one(zygote, place, chance.uniform(0.0, 0.06), tally)
            shutil.rmtree(place)

    table.append(
        f"{tally.kills} kills of three processes: {tally.phases} phases begun, {tally.open} of them open; "
        f"{tally.lost} lost, {tally.wrong_parents} under a wrong parent, {tally.sent_twice} sent twice"
    )
    assert Tally(kills=KILLS, phases=tally.phases, open=tally.open) == tally
    assert KILLS * 2 <= tally.open < tally.phases  # the run and one phase of it at least, whenever the kill came
