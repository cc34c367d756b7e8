"""Plants what it is told to in every place where the public API takes a text; run by ``test_canaries``.

Reads one JSON document from standard input: which texts to plant in which ``places``, what is
``registered`` and put into the environment ``late``, the files for ``wire`` and a ``foreign``
provider's spans, and whether there is ``masking``.
"""

import asyncio
import json
import logging
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from opentelemetry import trace
from opentelemetry.trace import Link, SpanContext, Status, StatusCode, TraceFlags

import otel_workflow as ow
from otel_workflow.codec import encode


class Secretive(Exception):
    """Says what it was made with."""


def names(text: str) -> None:
    with ow.phase(text):
        pass


def runs(text: str) -> None:
    with ow.workflow(text, run_id=text, attributes={"a": text}):
        pass


def attributes(text: str) -> None:
    with ow.phase("p", attributes={"a": text, text: 1}) as phase:
        phase.set_attribute("b", f"before {text} after")
        phase.set_attribute("c", ["x", text])
        phase.set_attribute("d", {"deep": [{"deeper": text}]})  # type: ignore[arg-type]
        phase.set_attribute("e", text.encode())  # type: ignore[arg-type]


def secret_names(text: str) -> None:
    """Behind a name that says that it is one, a secret needs no shape."""
    with ow.phase("p", attributes={"db.password": text}, payload={"api_key": text}) as phase:
        phase.set_attribute("clientSecret", [text])
        phase.set_attribute("x", {"auth_token": text})  # type: ignore[arg-type]
        if phase.span.__class__.__module__.startswith("otel_workflow"):  # a foreign span masks nothing
            phase.span.add_event("note", {"authorization": text})


def reasons(text: str) -> None:
    with ow.workflow("outer"), ow.phase("p") as phase:
        phase.fail(f"it was {text}", error_type=text)
    with ow.phase("q") as phase:
        phase.skip(text)


def exceptions(text: str) -> None:
    with suppress(Secretive), ow.phase("outer"), ow.phase("p"):
        try:
            raise Secretive(text)
        except Secretive as error:
            raise Secretive(f"{text} again") from error
    with suppress(SystemExit), ow.phase("exit"):
        raise SystemExit(text)


def spans(text: str) -> None:
    with ow.phase("p") as phase:
        phase.span.add_event(text, {"a": text})
        phase.span.add_link(SpanContext(1, 1, True, TraceFlags(1)), {"a": text})
        phase.span.set_status(Status(StatusCode.ERROR, text))


def libraries(text: str) -> None:
    tracer = trace.get_tracer("library", attributes={"a": text})
    link = Link(SpanContext(1, 1, True, TraceFlags(1)), {"a": text})
    with (
        ow.phase("p"),
        suppress(Secretive),
        tracer.start_as_current_span(text, attributes={"a": text}, links=[link]) as s,
    ):
        s.set_attribute("b", ["x", text])
        s.add_event(text, {"a": text})
        s.set_status(Status(StatusCode.ERROR, text))
        raise Secretive(text)
    with tracer.start_as_current_span("task", attributes={"cicd.pipeline.task.name": text, "a": text}):
        pass


def payloads(text: str) -> None:
    async def publish() -> None:
        bus = ow.get_bus()
        for kind in ("started", "completed"):
            await bus.publish(f"hooks.execution.{kind}", {"step_id": "s", "hook": text, "error": text, "list": [text]})
        await bus.publish("something.else", {"a": text})

    with ow.phase("p", payload={"a": text, "b": [text]}, event="own"):
        asyncio.run(publish())


def progress(text: str) -> None:
    with ow.phase("p") as phase:
        phase.progress(1, 2, text)
        phase.progress(2, 2, text)


def logs(text: str) -> None:
    def handler(event: ow.Event) -> None:
        raise Secretive(text)

    bus = ow.get_bus()
    subscription = bus.subscribe("loud.*", handler)
    asyncio.run(bus.publish("loud.noise", {"name": text}))
    bus.unsubscribe(subscription)


def long_texts(text: str) -> None:
    """Across the ends of what is kept: 2 KiB of a reason, 16 KiB of an attribute, 8 KiB of a stack trace."""
    half = len(text) // 2
    with ow.phase("p") as phase:
        phase.set_attribute("a", f"{'- ' * (8 * 1024 - half // 2)}{text}")
        phase.fail(f"{'- ' * (1024 - half // 2)}{text}")
    with suppress(Secretive), ow.phase("q"):
        raise Secretive(f"{'- ' * 1000} {text} {'- ' * (4 * 1024 - 20)}")


PLACES: dict[str, Callable[[str], None]] = {
    function.__name__: function
    for function in (
        names, runs, attributes, secret_names, reasons, exceptions, spans, libraries, payloads, progress, logs,
        long_texts,
    )
}  # fmt: skip


def see_all_again() -> None:
    """Switch masking off, to prove that every canary would be seen."""
    from otel_workflow.masking import names, texts

    texts._find = lambda text, known: []
    names._is_secret = lambda name, words: False


def have_a_foreign_provider(path: str) -> None:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor

    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter(out=open(path, "w", encoding="utf-8"))))  # noqa: PTH123, SIM115
    trace.set_tracer_provider(provider)


def main() -> None:
    told: dict[str, Any] = json.load(sys.stdin)
    if not told["masking"]:
        see_all_again()
    if told["foreign"]:
        have_a_foreign_provider(told["foreign"])
    logging.basicConfig(level=logging.DEBUG, stream=sys.stderr)
    logging.getLogger("asyncio").setLevel(logging.WARNING)
    ow.configure()
    ow.mask(*told["registered"])
    os.environ.update(told["late"])
    bus = ow.get_bus()
    bus.register_logging_handler()
    with open(told["wire"], "wb") as wire:  # noqa: PTH123
        bus.subscribe("*", lambda event: wire.write(encode(event)) and None)
        for place, texts in told["places"].items():
            for text in texts:
                PLACES[place](text)
        asyncio.run(bus.publish("the.end"))


if __name__ == "__main__":
    main()
