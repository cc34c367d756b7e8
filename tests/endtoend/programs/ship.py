"""What ``otel-workflow ship --journal DIR`` does, until there is a command line."""

from __future__ import annotations

import os
import sys
import time

from otel_workflow.bridge.directory import DirectoryShipper
from otel_workflow.bridge.http import Destination, OtlpHttpClient


def main() -> int:
    """Wait for the directory's lock, then send everything."""
    destination = Destination.from_environ(os.environ)
    assert destination is not None
    shipper = DirectoryShipper(sys.argv[2], OtlpHttpClient(destination), destination.key)
    end = time.monotonic() + 30
    while not shipper.acquire():
        if time.monotonic() > end:
            return 1
        time.sleep(0.02)
    done = shipper.drain(30, force=True)
    shipper.release()
    return 0 if done else 1


if __name__ == "__main__":
    sys.exit(main())
