"""Start a real Prometheus on a configuration file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tests.servers.build import built
from tests.servers.native import NativeServer, start_native


def start_prometheus(config: Path, extra: Sequence[str] = ()) -> tuple[NativeServer, str]:
    """Start Prometheus 3.9 with an empty database; return it and its base URL.

    It also takes OTLP pushes at /api/v1/otlp. `extra` are more flags, for example
    --enable-feature=exemplar-storage.
    """
    server = start_native(
        [
            str(built("prometheus")),
            f"--config.file={config.absolute()}",
            "--storage.tsdb.path=data",
            "--web.listen-address=127.0.0.1:{HTTP_PORT}",
            "--web.enable-otlp-receiver",
            *extra,
        ],
        ports=["HTTP_PORT"],
        ready="http://127.0.0.1:{HTTP_PORT}/-/ready",
    )
    return server, f"http://127.0.0.1:{server.ports['HTTP_PORT']}"
