"""What the documentation points at is there."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.architecture.docs import broken_links, missing_files
from tests.architecture.source import ROOT


def test_every_relative_link_leads_somewhere() -> None:
    broken = list(broken_links(ROOT))
    assert not broken, "\n".join(broken)


def test_every_module_the_map_names_exists() -> None:
    missing = list(missing_files(ROOT, ROOT / "docs" / "architecture.md"))
    assert not missing, "\n".join(missing)


def test_a_project_without_documentation_has_nothing_wrong_in_it(tmp_path: Path) -> None:
    assert [] == list(broken_links(tmp_path))
    assert [] == list(missing_files(tmp_path, tmp_path / "docs" / "architecture.md"))


@pytest.mark.parametrize("link", ["[x](gone.md)", "[x](../gone/)", "![x](gone.png 'a picture')", "[x](gone.md#part)"])
def test_a_link_to_nowhere_is_found(tmp_path: Path, link: str) -> None:
    (tmp_path / "docs").mkdir()
    fine = "[a](#here) [b](https://example.org/x) [c](page.md#part) `[d](gone.md)`\n```\n[e](gone.md)\n```\n"
    (tmp_path / "docs" / "page.md").write_text(fine, encoding="utf-8")
    assert [] == list(broken_links(tmp_path))
    (tmp_path / "docs" / "page.md").write_text(fine + link, encoding="utf-8")
    assert 1 == len(list(broken_links(tmp_path)))


@pytest.mark.parametrize(
    "name", ["gone.py", "otel_workflow/gone.py", "room/gone.py", "gone/", "otel_workflow.room.gone"]
)
def test_a_module_that_does_not_exist_is_found(tmp_path: Path, name: str) -> None:
    room = tmp_path / "otel_workflow" / "room"
    room.mkdir(parents=True)
    (room / "__init__.py").write_text("Chair = 1", encoding="utf-8")
    (room / "chair.py").touch()
    page = tmp_path / "page.md"
    page.write_text("`chair.py` `room/chair.py` `room/` `otel_workflow.room.chair` `otel_workflow.room.Chair` `a/b`")
    assert [] == list(missing_files(tmp_path, page))
    page.write_text(f"It is in `{name}`.", encoding="utf-8")
    assert [f"page.md: `{name}`"] == list(missing_files(tmp_path, page))
