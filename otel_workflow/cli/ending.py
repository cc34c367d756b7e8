"""How a command ends: its exit code, and at most one line about what went wrong.

0 done, 2 usage or setting, 130 and 143 signals, 141 closed pipe; anything else is a verb's own.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence

from otel_workflow.cli.output import ClosedPipeError, complain, flush, let_go_of_stdout, prepare_streams
from otel_workflow.cli.quick import quick_exit_code
from otel_workflow.errors import OtelWorkflowError

__all__ = ("exit_code_of",)

_WRONG, _SIGNALLED = 2, 128


def exit_code_of(arguments: Sequence[str] | None) -> int:
    """Run a command to its end, whichever that is; shows no traceback for what can be expected."""
    prepare_streams()
    try:
        code = _run(sys.argv[1:] if arguments is None else list(arguments))
        flush()
    except OtelWorkflowError as error:
        complain(str(error))
        return _WRONG
    except ClosedPipeError:
        let_go_of_stdout()
        return _SIGNALLED + signal.SIGPIPE
    except KeyboardInterrupt:
        return _SIGNALLED + signal.SIGINT
    except OSError as error:
        complain(f"OW-123: {error}")
        return _WRONG
    return code


def _run(arguments: list[str]) -> int:
    code = None if "_OTEL_WORKFLOW_COMPLETE" in os.environ else quick_exit_code(arguments)
    if code is None:
        from otel_workflow.cli.app import run

        code = run(arguments)
    return code
