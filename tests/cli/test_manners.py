"""What all verbs have in common: one line for what is wrong, exit codes, streams, hostile names."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from otel_workflow.testing import OtlpReceiver
from otel_workflow.testing.reply import Reply
from tests.cli.conftest import Cli

VERBS = ("demo", "report", "runs", "ship", "status", "doctor", "journal verify", "journal cat", "journal clean")


@pytest.mark.parametrize(
    "words",
    [
        ("nosuchverb",),
        ("--nosuchflag",),
        ("report", "--nosuchflag"),
        ("report", "last", "two"),
        ("report", "--format", "html"),
        ("runs", "--limit", "0"),
        ("runs", "--limit", "many"),
        ("runs", "--limit"),
        ("ship", "--deadline", "soon"),
        ("ship", "--deadline", "-1"),
        ("ship", "--close", "success"),
        ("ship", "--strict"),
        ("status", "--nosuchflag"),
        ("status", "--journal"),
        ("journal",),
        ("journal", "eat"),
        ("journal", "clean", "--older-than", "soon"),
        ("--show-completion", "tcsh"),
    ],
)
def test_a_mistake_in_the_words_is_one_line_with_a_code_and_exit_2(ow: Cli, words: tuple[str, ...]) -> None:
    done = ow(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(r"otel-workflow: OW-1\d\d: [^\n]+\([^\n]+\)\n", done.stderr), done.stderr


@pytest.mark.parametrize("verb", ["ship", "demo"])
def test_a_wrong_setting_is_one_line_that_names_it_its_value_and_a_remedy(ow: Cli, verb: str) -> None:
    done = ow(verb, OW_DEADLINE="soon")
    assert done.returncode == 2
    last = done.stderr.splitlines()[-1]
    assert last == "otel-workflow: OW-101: OW_DEADLINE='soon' is not a number of seconds (give a number of seconds)"


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_journal_and_json(ow: Cli, verb: str) -> None:
    done = ow(*verb.split(), "--help")
    assert done.returncode == 0
    for flag in ("--journal DIR", "--json", "--help"):
        assert flag in done.stdout


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb != "demo"])
def test_a_journal_that_is_not_there_is_said_in_one_line(ow: Cli, verb: str) -> None:
    words = (*verb.split(), "--journal", str(ow.home / "nowhere"))
    done = ow(*words)
    assert done.returncode == (1 if verb in ("status", "doctor") else 2)
    said = done.stdout if verb == "doctor" else done.stderr
    assert f"OW-203: the journal '{ow.home}/nowhere' does not exist" in said


@pytest.mark.parametrize("words", [("runs",), ("status",), ("ship",), ("journal", "verify"), ("journal", "cat")])
def test_an_empty_journal_is_no_error(ow: Cli, words: tuple[str, ...]) -> None:
    assert ow(*words).returncode == 0


@pytest.mark.parametrize(
    "words", [("report",), ("runs",), ("status",), ("doctor",), ("ship",), ("ship", "--dry-run"), ("journal", "verify")]
)
def test_json_is_one_document_with_schema_1_on_stdout_alone(ow: Cli, words: tuple[str, ...]) -> None:
    ow.record()
    document = json.loads(ow(*words, "--json").stdout)
    assert document["schema"] == 1


def test_version_and_completion_go_to_stdout(ow: Cli) -> None:
    assert re.fullmatch(r"otel-workflow \d+\.\d+\.\d+\n", ow("--version").stdout)
    assert "complete" in ow("--show-completion", "bash").stdout
    words = ow(_OTEL_WORKFLOW_COMPLETE="complete_bash", COMP_WORDS="otel-workflow re", COMP_CWORD="1")
    assert words.stdout.split() == ["report"]


def test_no_words_at_all_show_the_help(ow: Cli) -> None:
    done = ow()
    assert (done.returncode, done.stderr) == (0, "")
    assert "report" in done.stdout


@pytest.mark.parametrize("words", [("report",), ("runs",), ("status",), ("journal", "cat"), ("--help",)])
def test_a_closed_pipe_ends_quietly_with_141(ow: Cli, words: tuple[str, ...]) -> None:
    ow.record()
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "otel_workflow", *words],
        env=ow.environ(),
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("words", [("report",), ("status",)])
def test_a_full_disk_behind_stdout_is_one_line(ow: Cli, words: tuple[str, ...]) -> None:
    ow.record()
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "otel_workflow", *words],
            env=ow.environ(),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 2
    assert re.fullmatch(r"otel-workflow: OW-123: stdout cannot be written: [^\n]+\n", done.stderr)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Cli:
    """A journal in which somebody chose the names to hurt a terminal."""
    made = Cli(tmp_path_factory.mktemp("hostile"))
    made.record("\x1b[2J\x1b]0;owned\x07\r\n\u202e")
    return made


@pytest.mark.parametrize(
    "words",
    [("report",), ("runs",), ("journal", "cat"), ("journal", "verify"), ("status",), ("report", "\x1b[2J")],
)
@pytest.mark.parametrize("force", ["", "1"])
def test_hostile_names_never_reach_the_terminal_as_commands(hostile: Cli, words: tuple[str, ...], force: str) -> None:
    done = hostile(*words, FORCE_COLOR=force)
    said = re.sub(r"\x1b\[\d+m", "", done.stdout) if force else done.stdout
    assert all(character == "\n" or character.isprintable() for character in said + done.stderr)


def test_the_c_locale_gets_ascii_and_utf_8_gets_the_marks(ow: Cli) -> None:
    ow.record()
    assert ow("report", LANG="C").stdout.isascii()
    assert "✔" in ow("report", LANG="C.UTF-8").stdout
    assert ow("report", PYTHONIOENCODING="ascii").stdout.isascii()


def test_a_piped_report_has_no_colour_unless_it_is_forced(ow: Cli) -> None:
    ow.record()
    assert "\x1b" not in ow("report").stdout
    assert "\x1b[32m" in ow("report", FORCE_COLOR="1").stdout
    assert "\x1b" not in ow("report", FORCE_COLOR="1", NO_COLOR="1").stdout


@pytest.mark.parametrize("status", [400, 503, 200])
def test_a_hostile_backend_cannot_reach_the_terminal_either(ow: Cli, receiver: OtlpReceiver, status: int) -> None:
    ow.record()
    receiver.script(*[Reply(status, content_type="text/\x1b[2J", body=b"\x1b[2J\x1b]0;owned\x07\nforged")] * 9)
    outputs = [
        ow(*words, OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint)
        for words in (("ship",), ("status",), ("journal", "cat", "--dead"), ("doctor",))
    ]
    said = "".join(done.stdout + done.stderr for done in outputs)
    assert len(receiver.received) >= 2
    assert all(character == "\n" or character.isprintable() for character in said)
    assert [] == [line for line in said.splitlines() if line.startswith("forged")]


@pytest.mark.parametrize(
    "words", [("report",), ("runs",), ("status",), ("ship",), ("ship", "--dry-run"), ("doctor",), ("journal", "verify")]
)
def test_a_hostile_path_of_a_journal_is_shown_escaped(ow: Cli, words: tuple[str, ...]) -> None:
    place = str(ow.home / "\x1b[2J\u202e\x07journal")
    ow.record(OW_JOURNAL=place)
    (Path(place) / "\x1b[2J\x07.owj").write_text("a stranger")
    for endpoint in ("", "http://user:pa55w0rd@127.0.0.1:9?token=pa55w0rd"):
        done = ow(*words, OW_JOURNAL=place, OTEL_EXPORTER_OTLP_ENDPOINT=endpoint)
        said = done.stdout + done.stderr
        assert said
        assert all(character == "\n" or character.isprintable() for character in said), ascii(said)
        assert "pa55w0rd" not in said
