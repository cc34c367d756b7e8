"""Who is speaking: the Resource of this process, and the name of its service."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from opentelemetry.sdk.resources import Resource

from otel_workflow import semconv
from otel_workflow.masking import masked_resource
from otel_workflow.version import VERSION

__all__ = ("header_of", "is_unnamed", "named", "repository_name", "resource_of")


def repository_name(environ: Mapping[str, str]) -> str:
    """Return the repository's short name as the CI system gives it, or an empty text."""
    for variable in ("GITHUB_REPOSITORY", "CI_PROJECT_PATH", "BUILDKITE_PIPELINE_SLUG", "CIRCLE_PROJECT_REPONAME"):
        if environ.get(variable):
            return environ[variable].rstrip("/").rpartition("/")[2]
    return ""


def resource_of(environ: Mapping[str, str], service_name: str | None) -> Resource:
    """Return the SDK's resource with our service name.

    Argument, then OTEL_SERVICE_NAME or OTEL_RESOURCE_ATTRIBUTES, then the repository in CI, then
    the parent's workflow; ``unknown_service`` never stays: the first run's name replaces it. Masked:
    it goes wherever spans go.
    """
    attributes: dict[str, Any] = {}
    if service_name:
        attributes["service.name"] = service_name
    elif not environ.get("OTEL_SERVICE_NAME") and "service.name=" not in environ.get("OTEL_RESOURCE_ATTRIBUTES", ""):
        attributes["service.name"] = repository_name(environ) or environ.get("OW_WORKFLOW", "")
    made = Resource.create({key: value for key, value in attributes.items() if value})
    return Resource(masked_resource(made.attributes), made.schema_url)


def is_unnamed(resource: Resource) -> bool:
    """True while nobody has given the service a name."""
    return str(resource.attributes.get("service.name", "unknown_service")).startswith("unknown_service")


def named(resource: Resource, workflow: str) -> Resource:
    """Return the resource under the workflow's name, unless it has one of its own."""
    return resource.merge(Resource({"service.name": workflow})) if is_unnamed(resource) else resource


def header_of(resource: Resource, destination: str) -> dict[str, Any]:
    """Return what another process needs to build equal bytes, beside who we are; ``destination`` is a key."""
    return {
        "version": 1,
        "resource": masked_resource(resource.attributes),
        "resource_schema": resource.schema_url,
        "scope": {"name": semconv.SCOPE_NAME, "version": VERSION},
        "destination": destination,
    }
