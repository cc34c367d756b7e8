"""The table of CI providers: which variables of a job's environment say what it is.

A row names variables only. ``run`` and ``attempt`` tell runs apart, ``job`` the jobs of one run;
where a provider starts a job anew under a new id there is no attempt. The variables are those of
the providers' own pages on predefined variables.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ("PROVIDERS", "Job", "Provider", "detect")


@dataclass(frozen=True, slots=True)
class Provider:
    """One row. ``mark`` is a variable that only its jobs have; ``url`` and ``vcs_url`` are templates of variables.

    ``others`` are marks, with names, of providers that have all of this one's variables besides. Of
    ``branch`` the first variable that is set counts, of ``job`` all that are set, together.
    """

    name: str
    mark: str
    run: str
    attempt: str = ""
    job: tuple[str, ...] = ()
    host: str = ""
    repository: str = ""
    workflow: str = ""
    label: str = ""
    url: str = ""
    vcs_url: str = ""
    branch: tuple[str, ...] = ()
    revision: str = ""
    others: tuple[tuple[str, str], ...] = ()


PROVIDERS: tuple[Provider, ...] = (
    Provider(
        "github",
        "GITHUB_ACTIONS",
        others=(("FORGEJO_ACTIONS", "forgejo"), ("GITEA_ACTIONS", "gitea")),
        run="GITHUB_RUN_ID",
        attempt="GITHUB_RUN_ATTEMPT",
        job=("GITHUB_JOB", "RUNNER_NAME"),  # the jobs of a matrix have one GITHUB_JOB, and run on several runners
        host="GITHUB_SERVER_URL",
        repository="GITHUB_REPOSITORY",
        workflow="GITHUB_WORKFLOW",
        label="GITHUB_JOB",
        url="{GITHUB_SERVER_URL}/{GITHUB_REPOSITORY}/actions/runs/{GITHUB_RUN_ID}",
        vcs_url="{GITHUB_SERVER_URL}/{GITHUB_REPOSITORY}",
        branch=("GITHUB_HEAD_REF", "GITHUB_REF_NAME"),
        revision="GITHUB_SHA",
    ),
    Provider(
        "gitlab",
        "GITLAB_CI",
        run="CI_PIPELINE_ID",
        job=("CI_JOB_ID",),
        host="CI_SERVER_URL",
        repository="CI_PROJECT_PATH",
        workflow="CI_PROJECT_NAME",
        label="CI_JOB_NAME",
        url="{CI_PIPELINE_URL}",
        vcs_url="{CI_PROJECT_URL}",
        branch=("CI_MERGE_REQUEST_SOURCE_BRANCH_NAME", "CI_COMMIT_REF_NAME"),
        revision="CI_COMMIT_SHA",
    ),
    Provider(
        "buildkite",
        "BUILDKITE",
        run="BUILDKITE_BUILD_ID",
        attempt="BUILDKITE_RETRY_COUNT",
        job=("BUILDKITE_JOB_ID",),
        repository="BUILDKITE_PIPELINE_SLUG",
        workflow="BUILDKITE_PIPELINE_SLUG",
        label="BUILDKITE_STEP_KEY",
        url="{BUILDKITE_BUILD_URL}",
        branch=("BUILDKITE_BRANCH",),
        revision="BUILDKITE_COMMIT",
    ),
    Provider(
        "circleci",
        "CIRCLECI",
        run="CIRCLE_WORKFLOW_ID",
        job=("CIRCLE_WORKFLOW_JOB_ID", "CIRCLE_NODE_INDEX"),
        repository="CIRCLE_PROJECT_REPONAME",
        workflow="CIRCLE_PROJECT_REPONAME",
        label="CIRCLE_JOB",
        url="{CIRCLE_BUILD_URL}",
        branch=("CIRCLE_BRANCH",),
        revision="CIRCLE_SHA1",
    ),
    Provider(
        "azure",
        "TF_BUILD",
        run="BUILD_BUILDID",
        attempt="SYSTEM_JOBATTEMPT",
        job=("SYSTEM_JOBID",),
        host="SYSTEM_COLLECTIONURI",
        repository="SYSTEM_TEAMPROJECT",
        workflow="BUILD_DEFINITIONNAME",
        label="SYSTEM_JOBNAME",
        url="{SYSTEM_COLLECTIONURI}{SYSTEM_TEAMPROJECT}/_build/results?buildId={BUILD_BUILDID}",
        vcs_url="{BUILD_REPOSITORY_URI}",
        branch=("BUILD_SOURCEBRANCHNAME",),
        revision="BUILD_SOURCEVERSION",
    ),
    Provider(
        "bitbucket",
        "BITBUCKET_BUILD_NUMBER",
        run="BITBUCKET_PIPELINE_UUID",
        attempt="BITBUCKET_STEP_RUN_NUMBER",
        job=("BITBUCKET_STEP_UUID", "BITBUCKET_PARALLEL_STEP"),
        repository="BITBUCKET_REPO_FULL_NAME",
        workflow="BITBUCKET_REPO_SLUG",
        vcs_url="{BITBUCKET_GIT_HTTP_ORIGIN}",
        branch=("BITBUCKET_BRANCH",),
        revision="BITBUCKET_COMMIT",
    ),
    Provider(
        "travis",
        "TRAVIS",
        run="TRAVIS_BUILD_ID",
        job=("TRAVIS_JOB_ID",),
        repository="TRAVIS_REPO_SLUG",
        workflow="TRAVIS_REPO_SLUG",
        label="TRAVIS_JOB_NAME",
        url="{TRAVIS_BUILD_WEB_URL}",
        branch=("TRAVIS_PULL_REQUEST_BRANCH", "TRAVIS_BRANCH"),
        revision="TRAVIS_COMMIT",
    ),
    Provider(
        "teamcity",
        "TEAMCITY_VERSION",
        run="BUILD_NUMBER",
        job=("TEAMCITY_BUILDCONF_NAME",),
        repository="TEAMCITY_PROJECT_NAME",
        workflow="TEAMCITY_PROJECT_NAME",
        label="TEAMCITY_BUILDCONF_NAME",
        revision="BUILD_VCS_NUMBER",
    ),
    Provider(
        "woodpecker",
        "CI_WORKFLOW_NUMBER",
        run="CI_PIPELINE_NUMBER",
        job=("CI_WORKFLOW_NUMBER",),
        host="CI_SYSTEM_URL",
        repository="CI_REPO",
        workflow="CI_REPO",
        label="CI_WORKFLOW_NAME",
        url="{CI_PIPELINE_URL}",
        vcs_url="{CI_REPO_URL}",
        branch=("CI_COMMIT_SOURCE_BRANCH", "CI_COMMIT_BRANCH"),
        revision="CI_COMMIT_SHA",
    ),
    Provider(
        "drone",
        "DRONE",
        run="DRONE_BUILD_NUMBER",
        job=("DRONE_STAGE_NUMBER",),
        host="DRONE_SYSTEM_HOST",
        repository="DRONE_REPO",
        workflow="DRONE_REPO",
        label="DRONE_STAGE_NAME",
        url="{DRONE_BUILD_LINK}",
        vcs_url="{DRONE_REPO_LINK}",
        branch=("DRONE_SOURCE_BRANCH", "DRONE_BRANCH"),
        revision="DRONE_COMMIT_SHA",
    ),
    Provider(
        "jenkins",
        "JENKINS_URL",
        run="BUILD_ID",
        host="JENKINS_URL",
        repository="JOB_NAME",  # a build is known by its project; it has no jobs of its own
        workflow="JOB_NAME",
        url="{BUILD_URL}",
        vcs_url="{GIT_URL}",
        branch=("CHANGE_BRANCH", "BRANCH_NAME", "GIT_BRANCH"),
        revision="GIT_COMMIT",
    ),
)


@dataclass(frozen=True, slots=True)
class Job:
    """One job of one run; texts are empty where the provider does not say.

    ``key`` tells it from the other jobs of its run, ``check_run_id`` is GitHub's number for it.
    """

    provider: str
    run_id: str
    attempt: str = "1"
    key: str = ""
    host: str = ""
    repository: str = ""
    workflow: str = ""
    label: str = ""
    url: str = ""
    vcs_url: str = ""
    branch: str = ""
    revision: str = ""
    check_run_id: str = ""

    @property
    def name(self) -> str:
        """What the job is called among all: its workflow's name and its own."""
        return "/".join(filter(None, (self.workflow, self.label))) or self.provider


def detect(environ: Mapping[str, str], check_run_id: str = "") -> Job | None:
    """Return the job whose environment this is; None outside the providers of the table."""
    for provider in PROVIDERS:
        if environ.get(provider.mark) and environ.get(provider.run):
            return _job(provider, environ, check_run_id)
    return None


def _job(provider: Provider, environ: Mapping[str, str], check_run_id: str) -> Job:
    def said(name: str) -> str:
        return environ.get(name, "") if name else ""

    return Job(
        provider=next((name for mark, name in provider.others if said(mark)), provider.name),
        run_id=environ[provider.run],
        attempt=said(provider.attempt) or "1",
        key="/".join(filter(None, map(said, provider.job))),
        host=said(provider.host).rstrip("/"),
        repository=said(provider.repository),
        workflow=said(provider.workflow),
        label=said(provider.label),
        url=_filled(provider.url, environ),
        vcs_url=_filled(provider.vcs_url, environ),
        branch=next(filter(None, map(said, provider.branch)), ""),
        revision=said(provider.revision),
        check_run_id=check_run_id,
    )


def _filled(template: str, environ: Mapping[str, str]) -> str:
    """Return a template with its variables; empty when one of them is not set."""
    try:
        return template.format_map({name: value for name, value in environ.items() if value})
    except KeyError:
        return ""
