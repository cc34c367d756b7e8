"""What the environment says of a parent is a stranger's word: parsed strictly, or ignored."""

from __future__ import annotations

import random
import re
import tracemalloc
import warnings

import pytest
from opentelemetry.trace import SpanContext

from otel_workflow.instrumentation.environment import describe, parent_from, traceparent

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
GOOD = f"00-{TRACE}-{SPAN}-01"
STATE = "congo=t61rcWkgMzE,rojo=00f067aa0ba902b7"
# What a mutation may put in: hex, what looks like hex elsewhere in Unicode, separators, controls, the whole plane.
ODD = "0123456789abcdefABCDEFg-_=,;@ \t\r\n\0\x1b٣é\u2028\ufeff\U0001f4a9\udcff"
MUTATIONS = 50_000


def mutated(text: str, chance: random.Random) -> str:
    """Return the text after one to six random insertions, removals, exchanges, cuts and doublings."""
    for _ in range(chance.randint(1, 6)):
        at, what = chance.randint(0, len(text)), chance.randrange(6)
        if what == 0:
            text = text[:at] + chance.choice(ODD) + text[at:]
        elif what == 1:
            text = text[:at] + text[at + 1 :]
        elif what == 2:
            text = text[:at] + chance.choice(ODD) + text[at + 1 :]
        elif what == 3:
            text = (
                text[:at]
                + chr(chance.choice([chance.randrange(0xD800), chance.randrange(0xE000, 0x110000)]))
                + text[at:]
            )
        elif what == 4:
            text = text[:at]
        else:
            text += text[at:] * chance.randint(1, 30)
    return text


def is_well_formed(text: str) -> bool:
    """The rule of the W3C's page, said in another way than the code says it."""
    parts = text.strip().split("-", 4)
    if [2, 32, 16, 2] != [len(part) for part in parts[:4]]:
        return False
    if not all(character in "0123456789abcdef" for part in parts[:4] for character in part):
        return False
    version, trace_id, span_id = parts[:3]
    return version != "ff" and not (version == "00" and len(parts) > 4) and "1" <= max(trace_id) and "1" <= max(span_id)


def test_untrusted_traceparent_50_000_mutations_parse_without_exception_and_are_not_repeated_in_a_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    chance, taken = random.Random(20261121), 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(MUTATIONS):
            said, state = mutated(GOOD, chance), mutated(STATE, chance)
            found = parent_from({"TRACEPARENT": said, "TRACESTATE": state})
            assert is_well_formed(said) == (found is not None), ascii(said)
            if found is None:
                continue
            taken += 1
            assert found.is_valid
            assert found.is_remote
            assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]", traceparent(found))
            child = describe(found, "", None)  # what children are told is clean again
            assert parent_from(child) == found
            assert len(child.get("TRACESTATE", "")) <= 32 * (256 + 256 + 2)
    assert 500 < taken < MUTATIONS / 2  # both kinds were tried
    assert "" == caplog.text


def test_a_tracestate_that_is_well_formed_is_taken_over_and_handed_on() -> None:
    found = parent_from({"TRACEPARENT": GOOD, "TRACESTATE": f" {STATE} ,, 1tenant@vendor=x y"})
    assert found is not None
    assert {"congo": "t61rcWkgMzE", "rojo": SPAN, "1tenant@vendor": "x y"} == dict(found.trace_state)
    assert parent_from(describe(found, "", None)) == found


@pytest.mark.parametrize(
    "said",
    [
        GOOD.upper(),
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE}-{SPAN}-1",
        f"{GOOD}\n{GOOD}",
        GOOD.replace("3", "٣"),
        "",
    ],
)
def test_a_malformed_parent_is_no_parent(said: str) -> None:
    assert parent_from({"TRACEPARENT": said}) is None


def test_a_newer_version_may_say_more() -> None:
    found = parent_from({"TRACEPARENT": f"01-{TRACE}-{SPAN}-03-what-else"})
    assert found == SpanContext(int(TRACE, 16), int(SPAN, 16), True, found.trace_flags if found else None)
    assert found is not None
    assert 1 == found.trace_flags


def test_baggage_from_the_environment_is_never_taken_up() -> None:
    found = parent_from({"TRACEPARENT": GOOD, "BAGGAGE": "user=alice", "baggage": "user=alice"})
    assert found is not None
    assert {"TRACEPARENT": GOOD} == describe(found, "", None)


def test_a_tracestate_of_a_mebibyte_costs_little() -> None:
    """CVE-2026-29181 was one of this kind, in another language."""
    long = ",".join(f"k{number}=v" for number in range(120_000))
    tracemalloc.start()
    found = parent_from({"TRACEPARENT": GOOD, "TRACESTATE": long})
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found is not None
    assert len(found.trace_state) <= 32
    assert peak < 1 << 20
