"""Fills more than one segment while two phases stay open."""

from __future__ import annotations

import otel_workflow as ow
from tests.endtoend.programs.talk import say, wait


def main() -> None:
    """Write about 18 MB: two segments are sealed, the third is written to."""
    ow.configure()
    with ow.workflow("large"), ow.phase("open"):
        for _ in range(1500):
            with ow.phase("full") as phase:
                phase.set_attribute("text", "x" * 12_000)
        with ow.phase("open late"):
            say(ready=True)
            wait()


if __name__ == "__main__":
    main()
