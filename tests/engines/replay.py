"""Say again what the recorded run said, in a process that records and ships as a user's does."""

from __future__ import annotations

import sys

import otel_workflow as ow
from otel_workflow.engines import crackerjack
from tests.engines import standin


def main() -> None:
    """Attach first, import then, as a user may; and leave without a word."""
    crackerjack.attach()
    sys.modules[crackerjack.MODULE] = module = standin.module()
    crackerjack.attach()
    ow.configure()
    bus = module.WorkflowEventBus()
    for each in standin.recorded_events():
        bus.dispatch(each)


if __name__ == "__main__":
    main()
