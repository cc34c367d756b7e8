"""Which job an environment is that of."""

from __future__ import annotations

import pytest

from otel_workflow.ci import detect, outcome_named
from otel_workflow.ci.providers import PROVIDERS, Provider
from otel_workflow.events import Outcome

GITHUB = {
    "GITHUB_ACTIONS": "true",
    "GITHUB_RUN_ID": "17",
    "GITHUB_RUN_ATTEMPT": "2",
    "GITHUB_JOB": "test",
    "RUNNER_NAME": "runner 4",
    "GITHUB_SERVER_URL": "https://github.com",
    "GITHUB_REPOSITORY": "me/shop",
    "GITHUB_WORKFLOW": "CI",
    "GITHUB_REF_NAME": "17/merge",
    "GITHUB_HEAD_REF": "feature",
    "GITHUB_SHA": "abc",
}


def test_a_github_job_is_known_by_its_variables() -> None:
    job = detect(GITHUB, "4711")
    assert job is not None
    assert ("github", "17", "2", "test/runner 4") == (job.provider, job.run_id, job.attempt, job.key)
    assert ("CI/test", "https://github.com/me/shop/actions/runs/17") == (job.name, job.url)
    assert ("feature", "abc", "4711") == (job.branch, job.revision, job.check_run_id)


@pytest.mark.parametrize(("mark", "name"), [("GITEA_ACTIONS", "gitea"), ("FORGEJO_ACTIONS", "forgejo")])
def test_who_also_calls_itself_github_is_known_by_its_own_name(mark: str, name: str) -> None:
    job = detect({**GITHUB, mark: "true"})
    assert job is not None
    assert name == job.provider


@pytest.mark.parametrize("provider", PROVIDERS, ids=lambda each: each.name)
def test_each_provider_is_found_by_its_mark_and_run_and_by_nothing_less(provider: Provider) -> None:
    environ = {provider.mark: "x", provider.run: "17"}
    job = detect(environ)
    assert job is not None
    assert (provider.name, "17", "1") == (job.provider, job.run_id, job.attempt)
    assert job.name
    assert provider.mark == provider.run or detect({provider.mark: "x"}) is None
    assert provider.mark == provider.run or detect({provider.run: "17"}) is None


def test_outside_ci_there_is_no_job() -> None:
    assert detect({"HOME": "/root", "CI": "true", "GITHUB_RUN_ID": "17"}) is None


def test_a_template_with_a_variable_that_is_not_set_gives_nothing() -> None:
    job = detect({"GITHUB_ACTIONS": "true", "GITHUB_RUN_ID": "17", "GITHUB_SERVER_URL": "{not} %s {0}"})
    assert job is not None
    assert ("", "") == (job.url, job.vcs_url)


@pytest.mark.parametrize(
    ("words", "outcome"),
    [
        ("success Passed succeeded SUCCESS 0", Outcome.SUCCESS),
        ("failure failed FAILED UNSTABLE 1 137", Outcome.FAILURE),
        ("error errored", Outcome.ERROR),
        ("cancellation cancelled canceled Canceled ABORTED", Outcome.CANCELLATION),
        ("skip skipped NOT_BUILT", Outcome.SKIP),
        ("timeout timed_out TimedOut", Outcome.TIMEOUT),
    ],
)
def test_the_words_of_providers_mean_one_of_six_outcomes(words: str, outcome: Outcome) -> None:
    assert {outcome} == {outcome_named(word) for word in words.split()}


@pytest.mark.parametrize("word", ["", "green-ish", "²", "-", "${{ job.status }}"])
def test_a_word_of_nobody_is_no_outcome(word: str) -> None:
    assert outcome_named(word) is None
