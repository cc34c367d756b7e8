"""What every test may use."""

import os

pytest_plugins = ["tests.servers.plugin", "tests.reliability.results"]

# gRPC starts its threads anew in every child that this process forks, also for tests that count threads.
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"
