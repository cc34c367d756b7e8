"""Ids of CI jobs: vectors of the Collector's own golden files, and what ours must keep apart."""

from __future__ import annotations

from dataclasses import replace

import pytest

from otel_workflow.ci import CONTRACTS, Job, ids_of
from otel_workflow.errors import ConfigError

RUN = Job("github", "14460881260", attempt="13", key="test/runner 1", label="test (1.23)", check_run_id="40685651258")


@pytest.mark.parametrize(
    ("contract", "span_id"), [("githubreceiver", "2b09b38c69b64a9c"), ("githubreceiver-older", "e68a36b3514c8634")]
)
def test_the_ids_are_those_that_the_collectors_receiver_gives_the_same_job(contract: str, span_id: str) -> None:
    assert ("731ec8a47fd7450f753a812a4a8aa5a0", span_id) == ids_of(RUN, contract)
    assert "3ab150c94bf95169f4958bc860bddc3b" == ids_of(replace(RUN, attempt="12"), contract)[0]


OURS = replace(RUN, check_run_id="", host="https://github.com", repository="a/b")


@pytest.mark.parametrize(
    "other",
    [
        replace(OURS, run_id="14460881261"),
        replace(OURS, run_id="1446088126", attempt="013"),
        replace(OURS, attempt="1"),
        replace(OURS, host="https://github.example"),
        replace(OURS, repository="a/c"),
        replace(OURS, provider="gitea"),
    ],
)
def test_no_two_runs_share_a_trace_under_our_own_contract(other: Job) -> None:
    assert ids_of(OURS, "otel-workflow")[0] != ids_of(other, "otel-workflow")[0]


def test_the_jobs_of_a_run_share_its_trace_and_have_a_root_each() -> None:
    one, other = (ids_of(replace(OURS, key=key), "otel-workflow") for key in ("test/1", "test/2"))
    assert (one[0], True) == (other[0], one[1] != other[1])
    assert ids_of(OURS, "otel-workflow") == ids_of(replace(OURS, label="shown otherwise"), "otel-workflow")
    assert (32, 16) == tuple(map(len, one))


def test_our_ids_never_change() -> None:
    assert ("3913633b5a7ffd177d4d7f7282860c49", "7e45ac2476181e05") == ids_of(OURS, "otel-workflow")


@pytest.mark.parametrize(
    ("job", "contract", "says"),
    [
        (RUN, "githubreciever", "OW-104.*githubreceiver-older"),
        (OURS, "githubreceiver", r"OW-128.*job\.check_run_id"),
        (replace(RUN, provider="gitlab"), "githubreceiver", "OW-129.*gitlab.*--ids otel-workflow"),
        (replace(RUN, provider="gitlab"), "githubreceiver-older", "OW-129"),
    ],
)
def test_what_cannot_be_computed_is_said_with_its_remedy(job: Job, contract: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        ids_of(job, contract)


def test_the_contracts_have_the_names_that_the_setting_takes() -> None:
    assert ["otel-workflow", "githubreceiver", "githubreceiver-older"] == list(CONTRACTS)
