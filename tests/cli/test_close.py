"""``ship --close``: the CI job's last step makes the root that everything in the job hangs on."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from otel_workflow.ci import detect, ids_of
from otel_workflow.testing import OtlpReceiver
from tests.ci.test_providers import GITHUB
from tests.cli.conftest import Cli

SERVER, ERROR = 2, 2
JOB = detect(GITHUB)
assert JOB is not None
TRACE, SPAN = ids_of(JOB, "otel-workflow")
IN_JOB = {**GITHUB, "TRACEPARENT": f"00-{TRACE}-{SPAN}-01"}


def record_step(ow: Cli) -> None:
    """Record a phase as a step of the job does: in a process whose parent is the computed root."""
    child = ow.python(
        "import otel_workflow as ow\now.configure()\nwith ow.phase('lint'):\n    pass\n",
        **IN_JOB,
    )
    child.communicate(timeout=60)
    assert child.returncode == 0


def roots(receiver: OtlpReceiver) -> list[dict[str, Any]]:
    return [span for span in receiver.spans if span["kind"] == SERVER]


def test_the_root_of_the_job_is_made_once_and_the_phases_of_the_job_have_a_parent(
    ow: Cli, receiver: OtlpReceiver
) -> None:
    record_step(ow)
    there = {**IN_JOB, "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint}
    done = ow("ship", "--close", "failure", **there)
    assert (0, "") == (done.returncode, done.stdout)
    assert f"closed the run 'CI/test' (failure) under trace {TRACE}, span {SPAN}" in done.stderr
    assert "2 spans delivered" in done.stderr
    again = ow("ship", "--close", "success", **there)
    assert (0, True) == (again.returncode, "was closed before; nothing changes" in again.stderr)
    [root] = roots(receiver)
    [lint] = [span for span in receiver.spans if span["name"] == "lint"]
    assert (TRACE, SPAN, TRACE, SPAN) == (
        root["trace_id"],
        root["span_id"],
        lint["trace_id"],
        lint["parent_span_id"],
    )
    assert ("RUN CI/test", "", ERROR) == (root["name"], root["parent_span_id"], root["status"]["code"])
    assert lint["start_ns"] == root["start_ns"] < lint["end_ns"] <= root["end_ns"]
    said = {key: root["attributes"].get(key) for key in ("cicd.pipeline.result", "error.type", "cicd.pipeline.run.id")}
    assert {"cicd.pipeline.result": "failure", "error.type": "_OTHER", "cicd.pipeline.run.id": "17"} == said
    assert ("shop", "feature", "abc", 2) == (
        root["attributes"]["vcs.repository.name"],
        root["attributes"]["vcs.ref.head.name"],
        root["attributes"]["vcs.ref.head.revision"],
        root["attributes"]["otel_workflow.attempt"],
    )


def test_the_report_shows_the_job_with_its_phases(ow: Cli) -> None:
    record_step(ow)
    ow("ship", "--close", "cancelled", **IN_JOB)
    shown = ow("report", **IN_JOB).stdout
    assert ("CI/test" in shown, "lint" in shown, "cancel" in shown) == (True, True, True)


def test_a_job_in_which_nothing_was_recorded_begins_with_its_closing(ow: Cli, receiver: OtlpReceiver) -> None:
    before = time.time_ns()
    ow("ship", "--close", "timed_out", **GITHUB, OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint)
    [root] = roots(receiver)
    assert before < root["start_ns"] <= root["end_ns"]
    assert ("timeout", "timeout") == (root["attributes"]["cicd.pipeline.result"], root["attributes"]["error.type"])


def test_without_an_endpoint_the_root_waits_in_the_journal(ow: Cli, receiver: OtlpReceiver) -> None:
    done = ow("ship", "--close", "success", **GITHUB)
    assert (0, True) == (done.returncode, "1 span stays" in done.stderr)
    ow("ship", OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint)
    assert ["RUN CI/test"] == [span["name"] for span in receiver.spans]


def test_two_that_close_at_once_make_one_root(ow: Cli, receiver: OtlpReceiver) -> None:
    there = {**GITHUB, "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint}
    children = [ow.start("ship", "--close", word, "--deadline", "20", **there) for word in ("success", "failure")]
    said = [child.communicate(timeout=60)[1] for child in children]
    assert 1 == sum("closed the run" in text for text in said)
    assert 1 == sum("was closed before" in text for text in said)
    assert 1 == len(roots(receiver))


@pytest.mark.parametrize("contract", ["githubreceiver", "githubreceiver-older"])
def test_the_contract_is_chosen_by_flag_or_setting(ow: Cli, contract: str) -> None:
    job = detect(GITHUB, "4711")
    assert job is not None
    ids = ids_of(job, contract)
    by_flag = ow(
        "ship", "--close", "success", "--ids", contract, "--dry-run", "--json", OW_CHECK_RUN_ID="4711", **GITHUB
    )
    by_setting = ow(
        "ship", "--close", "success", "--dry-run", "--json", OW_CHECK_RUN_ID="4711", OW_IDS=contract, **GITHUB
    )
    for done in (by_flag, by_setting):
        said = json.loads(done.stdout)["close"]
        assert ids == (said["trace_id"], said["span_id"])


def test_a_dry_run_only_says_what_it_would_do(ow: Cli, receiver: OtlpReceiver) -> None:
    there = {**GITHUB, "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint}
    done = ow("ship", "--close", "success", "--dry-run", "--json", **there)
    assert "would close the run 'CI/test' (success)" in done.stderr
    assert {
        "state": "would close",
        "run": "CI/test",
        "result": "success",
        "trace_id": TRACE,
        "span_id": SPAN,
    } == json.loads(done.stdout)["close"]
    assert ([], False) == (receiver.spans, ow.journal.exists())
    ow("ship", "--close", "success", **there)
    assert "was closed before" in ow("ship", "--close", "success", "--dry-run", **there).stderr


def test_where_the_provider_makes_the_run_nothing_is_closed(ow: Cli, receiver: OtlpReceiver) -> None:
    there = {**GITHUB, "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint, "OW_JOB": "provider"}
    done = ow("ship", "--close", "success", **there)
    assert (0, True, []) == (done.returncode, "OW_JOB=provider" in done.stderr, receiver.spans)


@pytest.mark.parametrize(
    ("words", "extra", "says"),
    [
        (("--close", "success"), {}, "OW-127: --close: this is no CI job"),
        (("--close", "great"), GITHUB, "OW-122: --close='great' is not a result (one of success, failure, "),
        (("--close", "success", "--ids", "mine"), GITHUB, "OW-104: ids='mine' is no id contract"),
        (("--close", "success", "--ids", "githubreceiver"), GITHUB, "OW-128: "),
        (("--ids", "otel-workflow"), GITHUB, "OW-122: --ids='otel-workflow' says nothing without --close"),
    ],
)
def test_a_wrong_word_is_one_line_and_exit_code_2(
    ow: Cli, words: tuple[str, ...], extra: dict[str, str], says: str
) -> None:
    done = ow("ship", *words, **extra)
    assert (2, "", 1) == (done.returncode, done.stdout, len(done.stderr.splitlines()))
    assert says in done.stderr
    assert not ow.journal.exists()


@pytest.mark.parametrize(("strict", "code"), [(False, 0), (True, 1)])
def test_a_journal_that_cannot_be_written_turns_no_build_red_unless_asked(ow: Cli, *, strict: bool, code: int) -> None:
    ow.journal.write_text("a file")
    words = ["--strict"] if strict else []
    done = ow("ship", "--close", "success", *words, **GITHUB, OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9")
    assert (code, True) == (done.returncode, "OW-206: the end of the job was not recorded" in done.stderr)


def test_a_secret_in_a_branch_name_does_not_get_into_the_root(ow: Cli, receiver: OtlpReceiver) -> None:
    there = {**GITHUB, "GITHUB_HEAD_REF": "x-hunter2hunter2-y", "DEPLOY_TOKEN": "hunter2hunter2"}
    ow("ship", "--close", "success", **there, OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint)
    [root] = roots(receiver)
    assert "x-***-y" == root["attributes"]["vcs.ref.head.name"]
