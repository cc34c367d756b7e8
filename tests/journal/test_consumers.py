"""A segment is out of the way when everybody who is registered has passed it."""

from __future__ import annotations

import os
import time
from pathlib import Path

from otel_workflow.journal.consumers import VANISHED_NS, Consumer, Consumers


def test_without_anybody_registered_nothing_is_held_back(tmp_path: Path) -> None:
    consumers = Consumers(tmp_path, "traces")
    consumers.look()
    assert ([], True) == (consumers.registered, consumers.have_passed("a", 100))


def test_whoever_registers_holds_back_what_it_has_not_named(tmp_path: Path) -> None:
    metrics, consumers = Consumer(tmp_path, "metrics"), Consumers(tmp_path, "traces")
    assert metrics.register()
    consumers.look()
    assert (["metrics"], False) == (consumers.registered, consumers.have_passed("a", 100))
    assert metrics.passed({"a": 100, "b": 99})
    consumers.look()
    assert (True, False) == (consumers.have_passed("a", 100), consumers.have_passed("b", 100))


def test_registering_again_keeps_what_was_passed(tmp_path: Path) -> None:
    Consumer(tmp_path, "metrics").passed({"a": 100})
    assert Consumer(tmp_path, "metrics").register()
    consumers = Consumers(tmp_path, "traces")
    consumers.look()
    assert consumers.have_passed("a", 100)


def test_all_of_them_count_but_the_one_that_asks(tmp_path: Path) -> None:
    Consumer(tmp_path, "traces").register()
    Consumer(tmp_path, "metrics").passed({"a": 5})
    Consumer(tmp_path, "history").passed({"a": 4})
    consumers = Consumers(tmp_path, "traces")
    consumers.look()
    assert (["metrics", "history"], False, True) == (
        consumers.registered,
        consumers.have_passed("a", 5),
        consumers.have_passed("a", 4),
    )


def test_a_consumer_that_has_not_written_for_a_week_has_vanished(tmp_path: Path) -> None:
    metrics, consumers = Consumer(tmp_path, "metrics"), Consumers(tmp_path, "traces")
    metrics.register()
    now = time.time_ns()
    consumers.look(now + VANISHED_NS // 2)
    assert not consumers.have_passed("a", 1)
    consumers.look(now + VANISHED_NS + 60 * 10**9)
    assert consumers.have_passed("a", 1)


def test_a_consumer_that_stands_still_renews_its_cursor_only_now_and_then(tmp_path: Path) -> None:
    metrics = Consumer(tmp_path, "metrics")
    metrics.passed({"a": 1})
    os.utime(metrics.cursor.path, ns=(1, 1))
    assert metrics.passed({"a": 1})
    assert 1 == metrics.cursor.path.stat().st_mtime_ns
    metrics._saved_ns -= 2 * 3_600 * 10**9
    assert metrics.passed({"a": 1})
    assert 1 < metrics.cursor.path.stat().st_mtime_ns


def test_one_that_goes_holds_nothing_back_and_the_version_tells(tmp_path: Path) -> None:
    metrics, consumers = Consumer(tmp_path, "metrics"), Consumers(tmp_path, "traces")
    metrics.register()
    consumers.look()
    before = consumers.version
    consumers.look()
    assert before == consumers.version
    metrics.unregister()
    consumers.look()
    assert (True, True) == (consumers.version > before, consumers.have_passed("a", 1))


def test_a_cursor_that_cannot_be_read_holds_everything_back(tmp_path: Path) -> None:
    (tmp_path / "metrics.cursor").write_text('{"acknowledged": [')
    consumers = Consumers(tmp_path, "traces")
    consumers.look()
    assert not consumers.have_passed("a", 1)
