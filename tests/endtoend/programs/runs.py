"""One short run, with the end that its argument names: success, failure, timeout, skip, cancellation or killed."""

from __future__ import annotations

import os
import signal
import sys

import otel_workflow as ow


def main(how: str) -> None:
    """Record a run of two phases that ends as told."""
    ow.configure()
    with ow.workflow("truth") as run:
        with ow.phase("compile"):
            pass
        with ow.phase("test") as test:
            if how == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            if how == "failure":
                test.fail("2 of 40 failed")
        if how == "skip":
            run.skip("nothing to do")
        if how == "cancellation":
            run.cancel("not needed any more")
        if how == "timeout":
            raise TimeoutError


if __name__ == "__main__":
    main(sys.argv[1])
