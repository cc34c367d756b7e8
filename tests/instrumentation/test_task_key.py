"""Which task is running is asked of libraries that may not be there, or not yet whole."""

from __future__ import annotations

import asyncio
import sys
import threading
from types import ModuleType

import pytest

from otel_workflow.instrumentation.context import task_key


@pytest.mark.parametrize("name", ["asyncio", "trio"])
@pytest.mark.parametrize("module", [None, ModuleType("half")])
def test_a_library_that_is_missing_or_half_imported_runs_no_task(
    name: str, module: ModuleType | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The delivery's thread imports gRPC, and with it asyncio, while phases begin elsewhere: none may be lost."""
    monkeypatch.setitem(sys.modules, name, module)
    assert -threading.get_ident() == task_key()


def test_each_task_has_a_key_of_its_own() -> None:
    async def two() -> tuple[int, int]:
        async def one() -> int:
            return task_key()

        first, second = asyncio.create_task(one()), asyncio.create_task(one())
        return await first, await second

    first, second = asyncio.run(two())
    assert first != second
    assert -threading.get_ident() not in (first, second)
