"""Failure matrix, 6.4 "secrets": 500 planted canaries over every sink, none found.

A child process plants them with the public API. Every sink is searched: the journal's files and
cursor, what was sent, events on a wire, reports, our log lines, a foreign provider's spans.
"""

import base64
import json
import random
import string
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest

from otel_workflow.testing import OtlpReceiver
from tests.endtoend.processes import clean_environment

COUNT = 500
PROGRAM = Path(__file__).parent / "program.py"
KNOWN = ("environment", "registered", "late")
PLACES = (
    "names", "runs", "attributes", "reasons", "exceptions", "spans", "libraries", "payloads", "progress", "logs",
    "long_texts", "secret_names",
)  # fmt: skip
NOT_OURS = ("spans", "libraries")
"""Places of the SDK's own span, which masks nothing, in the SDK lane."""
FORMS: tuple[Callable[[str], str], ...] = (
    lambda secret: secret,
    lambda secret: base64.b64encode(f"user:{secret}!".encode()).decode(),
    lambda secret: base64.urlsafe_b64encode(f"us:{secret}!".encode()).decode().rstrip("="),
    lambda secret: quote(secret, safe=""),
    lambda secret: json.dumps(secret)[1:-1],
    lambda secret: secret.encode().hex(),
)
SHAPES: tuple[Callable[[str], str], ...] = (
    lambda core: f"ghp_{core}{core}",
    lambda core: f"github_pat_{core}",
    lambda core: f"glpat-{core}",
    lambda core: f"xoxb-{core}",
    lambda core: f"eyJhbGciOiJIUzI1NiJ9.{core}.{core}",
    lambda core: f"sk-proj-{core}7",
    lambda core: f"AKIA{core.upper()}",
    lambda core: f"Authorization: Bearer {core}7",
    lambda core: f"--password {core}",
    lambda core: f"password={core}",
    lambda core: f"https://example.org/x?access_token={core}&y=1",
    lambda core: f"postgres://app:{core}@db.example/x",
    lambda core: json.dumps({"client_secret": core}),
    lambda core: f"-----BEGIN PRIVATE KEY-----\n{core}\n-----END PRIVATE KEY-----",
)


@dataclass(frozen=True)
class Canary:
    """What is planted, where and how; ``traces`` are parts of it any of which would betray it."""

    kind: str
    secret: str
    place: str
    text: str
    traces: tuple[bytes, ...]


def _canaries() -> list[Canary]:
    """Return 500 of every kind, form and place in turn; the same ones in every run."""
    chosen = random.Random(20_240_801)
    made = []
    for number in range(COUNT):
        core = "".join(chosen.choices(string.ascii_letters + string.digits, k=22))
        kind = (*KNOWN, "shape")[number % 4]
        place = PLACES[number // 4 % len(PLACES)]
        if place == "secret_names":
            kind, secret, text = "name", core, core
        elif kind == "shape":
            secret, text = core, SHAPES[number // 4 % len(SHAPES)](core)
        else:
            secret = f'{core[:11]}{chosen.choice("/+ &=~é")}"{core[11:]}'
            text = FORMS[number // 4 % len(FORMS)](secret)
        parts = [core.upper(), core] if "AKIA" in text else [core]
        if kind in KNOWN:
            parts.append(text[8:-8])
        traces = {piece.encode() for part in parts for piece in (part[:9], part[-9:])}
        made.append(Canary(kind, secret, place, text, tuple(traces)))
    return made


def _run(directory: Path, canaries: list[Canary], *, masking: bool, foreign: bool) -> bytes:
    """Plant the canaries, and return all bytes of all sinks."""
    journal, wire, spans = directory / "journal", directory / "wire", directory / "spans"
    told = {
        "masking": masking,
        "foreign": str(spans) if foreign else "",
        "wire": str(wire),
        "registered": [each.secret for each in canaries if each.kind == "registered"],
        "late": {f"LATE_{n}_TOKEN": each.secret for n, each in enumerate(canaries) if each.kind == "late"},
        "places": {place: [each.text for each in canaries if each.place == place] for place in PLACES},
    }
    early = {f"EARLY_{n}_SECRET": each.secret for n, each in enumerate(canaries) if each.kind == "environment"}
    resource = ",".join(f"a{n}={quote(each.secret)}" for n, each in enumerate(canaries) if each.kind == "environment")
    steering = {"OW_JOURNAL": str(journal), **early}
    if not foreign:  # a foreign provider has a resource of its own
        steering["OTEL_RESOURCE_ATTRIBUTES"] = resource
    with OtlpReceiver() as receiver:
        environment = clean_environment(OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint, OW_DEADLINE="30", **steering)
        ran = subprocess.run(
            [sys.executable, str(PROGRAM)],
            input=json.dumps(told).encode(), env=environment, capture_output=True, timeout=100, check=False,
        )  # fmt: skip
        assert ran.returncode == 0, ran.stderr[-2000:]
        sinks = [*receiver.requests, ran.stdout, ran.stderr]
    for verb in (("runs",), ("report",), ("report", "--json")):
        command = [sys.executable, "-m", "otel_workflow", *verb, "--journal", str(journal)]
        shown = subprocess.run(command, env=clean_environment(), capture_output=True, timeout=60, check=False)
        sinks += (shown.stdout, shown.stderr)
    files = [path for path in directory.rglob("*") if path.is_file()]
    assert any(path.suffix == ".owj" for path in files)
    assert foreign == spans.exists()
    return b"\n".join([*sinks, *(path.read_bytes() for path in files)])


def _seen(canaries: list[Canary], sinks: bytes) -> list[Canary]:
    return [each for each in canaries if any(trace in sinks for trace in each.traces)]


@pytest.mark.slow
@pytest.mark.parametrize("foreign", [False, True], ids=["native lane", "SDK lane"])
def test_none_of_500_canaries_is_found_in_any_sink(tmp_path: Path, foreign: bool) -> None:
    canaries = [each for each in _canaries() if not (foreign and each.place in NOT_OURS)]

    sinks = _run(tmp_path, canaries, masking=True, foreign=foreign)

    assert [] == [(each.kind, each.place, each.text) for each in _seen(canaries, sinks)]
    assert sinks.count(b"***") > len(canaries)


@pytest.mark.slow
@pytest.mark.parametrize("foreign", [False, True], ids=["native lane", "SDK lane"])
def test_without_masking_every_canary_is_seen(tmp_path: Path, foreign: bool) -> None:
    """What keeps the other test honest: each of them was planted where a sink shows it."""
    canaries = [each for each in _canaries() if not (foreign and each.place in NOT_OURS)]

    sinks = _run(tmp_path, canaries, masking=False, foreign=foreign)

    seen = set(_seen(canaries, sinks))
    assert [] == [(each.kind, each.place, each.text) for each in canaries if each not in seen]
