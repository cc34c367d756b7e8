"""What every test may use."""

import os
import signal

pytest_plugins = ["tests.servers.plugin", "tests.reliability.results"]

# gRPC starts its threads anew in every child that this process forks, also for tests that count threads.
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"

# What a shell without job control starts in the background ignores Ctrl-C, and so would the programs of the tests.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
