"""Configures, and says what comes of it."""

from __future__ import annotations

import otel_workflow as ow
from tests.endtoend.programs.talk import say


def main() -> None:
    """Call configure() and report."""
    try:
        runtime = ow.configure()
    except ow.ConfigError as error:
        say(code=error.code, text=str(error))
    else:
        say(lane=runtime.lane, journal=str(runtime.journal))


if __name__ == "__main__":
    main()
