"""The seed's events have the names and values that were published, first and last version alike."""

from __future__ import annotations

import json

import pytest

from otel_workflow import WorkflowEvent
from tests.conformance.environment import VERSIONS, Environment
from tests.conformance.running import HERE, run


@pytest.mark.parametrize("version", VERSIONS)
def test_the_members_are_those_of_the_published_package(version: str, environment: Environment) -> None:
    """In their order, with their values and their text; ours come after them."""
    theirs = [tuple(row) for row in json.loads(run(environment.python, HERE / "members.py", environment.site(version)))]
    ours = [(member.name, member.value, str(member)) for member in WorkflowEvent]
    assert 20 == len(theirs)
    assert theirs == ours[:20]
    assert all(name.startswith(("PHASE_", "WORKFLOW_")) for name, _, _ in ours[20:])


def test_the_bus_is_the_same_file_in_both_versions(environment: Environment) -> None:
    """So what holds for one holds for all versions between them."""
    files = [environment.site(version) / "crackerjack" / "events" / "workflow_bus.py" for version in VERSIONS]
    first, last = (file.read_bytes() for file in files)
    assert first == last
