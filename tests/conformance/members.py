"""Print the members of the published WorkflowEvent: ``members.py SITE``, in the original's environment."""

from __future__ import annotations

import contextlib
import io
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import original  # type: ignore[import-not-found]

original.prepare(sys.argv[1])
with contextlib.redirect_stdout(io.StringIO()):
    from crackerjack.events.workflow_bus import WorkflowEvent  # type: ignore[import-not-found]
print(json.dumps([[member.name, member.value, str(member)] for member in WorkflowEvent]))
