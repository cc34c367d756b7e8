"""Says the worst things that can be said, in every place where something can be said."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from opentelemetry.trace import Link

import otel_workflow as ow
from tests.endtoend.programs.talk import say


class Mean:
    """An object that will not be read."""

    def __str__(self) -> str:
        raise RuntimeError("no")

    __repr__ = __str__

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no")

    def __hash__(self) -> int:
        raise RuntimeError("no")

    def __bool__(self) -> bool:
        raise RuntimeError("no")


class MeanMapping(dict[str, Any]):
    """A mapping that will not be read."""

    def items(self) -> Any:
        raise RuntimeError("no")

    def keys(self) -> Any:
        raise RuntimeError("no")


class MeanList(list[Any]):
    """A list that will not be read."""

    def __iter__(self) -> Iterator[Any]:
        raise RuntimeError("no")


def values() -> dict[str, Any]:
    """What is said, by a name for it."""
    recursive: list[Any] = [1]
    recursive.append(recursive)
    mapping: dict[str, Any] = {}
    mapping["self"] = mapping
    deep: list[Any] = []
    for _ in range(5_000):
        deep = [deep]
    return {
        "nan": float("nan"),
        "infinity": float("inf"),
        "2**70": 2**70,
        "10**5000": 10**5000,
        "bytes": b"\xff\x00",
        "surrogate": "\udcff \ud800",
        "nul": "a\x00b",
        "recursive list": recursive,
        "recursive mapping": mapping,
        "deep": deep,
        "mean object": Mean(),
        "mean mapping": MeanMapping(a=1),
        "mean list": MeanList([1]),
        "mixed list": [1, "a", None, 2.5, Mean()],
        "10 MB": "x" * 10_000_000,
        "10 MB of emoji": "\N{PILE OF POO}" * 2_500_000,
        "generator": (number for number in range(3)),
        "None": None,
        "class": Mean,
    }


def say_everywhere(value: Any) -> None:
    """Put the value wherever a phase takes one."""
    with ow.phase("attributes", attributes={"value": value}) as phase:
        phase.set_attribute("later", value)
        phase.set_attribute(value, 1)
        phase.span.set_attributes({"many": value})
        phase.span.add_event("event", {"value": value})
        phase.span.add_event(value)
        phase.span.add_link(phase.span.get_span_context(), {"value": value})
        phase.progress(value, value, value)
    with ow.phase("reason") as phase:
        phase.fail(value, error_type=value)
        phase.error(value)
        phase.skip(value)
        phase.cancel(value)
        phase.fail(value)
    with ow.phase("payload", payload={"value": value}, event="custom.thing"):
        pass
    with ow.phase("mapping", attributes=value, payload=value):
        pass
    with ow.phase("links", links=[Link(phase.span.get_span_context(), {"value": value})]):
        pass
    try:
        with ow.phase("exception"):
            raise ValueError(value)
    except ValueError:
        pass


def many_large() -> None:
    """As much as a phase may carry, and more, of texts that become longer when they are encoded."""
    with ow.phase("very large") as phase:
        for number in range(200):
            phase.set_attribute(f"large {number}", "\N{PILE OF POO}" * 100_000)
            phase.span.add_event("large", {f"large {key}": "\0" * 100_000 for key in range(20)})


def main() -> None:
    """Say it all, with a witness before each."""
    ow.configure()
    with ow.workflow("hostile"):
        for name, value in values().items():
            with ow.phase(f"witness before {name}") as witness:
                witness.set_attribute("fine", 1)
            say_everywhere(value)
        with ow.phase("names"):
            for name in ("\udcff", "a\x00b\x1b[31m", "n" * 10_000_000, ""):
                with ow.phase(name) as phase:
                    phase.fail()
        many_large()
        with ow.phase("last witness"):
            pass
    say(survived=True)


if __name__ == "__main__":
    main()
