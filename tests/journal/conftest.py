"""Nothing of one test is left for the next."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.journal.making import open_segments


@pytest.fixture(autouse=True)
def every_segment_is_closed_again() -> Iterator[None]:
    before = open_segments()
    yield
    assert before == open_segments()
