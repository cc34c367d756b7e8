"""Hold one bus to all promises: ``driver.py ours``, or ``driver.py original SITE`` in its environment.

Prints one JSON object: for each promise its words, and what was wrong with it ("" for kept).
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import io
import json
import logging
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import defects  # type: ignore[import-not-found]
import kit  # type: ignore[import-not-found]
import original  # type: ignore[import-not-found]
import promises  # type: ignore[import-not-found]

SECONDS = 6.0


def broken(check: Callable[[Any], Any], classes: Any) -> str:
    """Run a check and return what was wrong; a hang is cut short."""
    said: list[str] = ["it hung"]

    def run() -> None:
        try:
            outcome = check(classes)
            if inspect.iscoroutine(outcome):
                asyncio.run(asyncio.wait_for(outcome, SECONDS))
            said[0] = ""
        except TimeoutError:
            pass
        except BaseException as error:
            said[0] = (str(error) or type(error).__name__).splitlines()[0]

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(SECONDS + 1)
    return said[0]


def main() -> None:
    """Check every promise, and print what came of it."""
    logging.disable(logging.CRITICAL)
    if sys.argv[1] == "original":
        original.prepare(sys.argv[2])
        with contextlib.redirect_stdout(io.StringIO()):
            classes = kit.published()
    else:
        classes = kit.ours()
    with contextlib.redirect_stdout(io.StringIO()):
        found = {
            check.__name__: ((check.__doc__ or "").splitlines()[0], broken(check, classes))
            for check in (*promises.PROMISES, *defects.DEFECTS)
        }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
