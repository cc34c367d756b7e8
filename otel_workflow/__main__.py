"""``python -m otel_workflow``: the command line."""

from __future__ import annotations

import sys

from otel_workflow.cli import main

__all__ = ()

if __name__ == "__main__":
    sys.exit(main())
