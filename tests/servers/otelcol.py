"""Start a real OpenTelemetry Collector on a configuration file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.servers.build import built
from tests.servers.native import NativeServer, start_native


def start_otelcol(config: Path, *, ports: Sequence[str] = (), env: Mapping[str, str] | None = None) -> NativeServer:
    """Start the Collector 0.158 and return once its health check answers.

    The configuration must have the extension health_check at
    127.0.0.1:${env:HEALTH_PORT}; for its other ports it names variables too, and
    `ports` lists them. The returned server knows the numbers.
    """
    return start_native(
        [str(built("otelcol")), f"--config={config.absolute()}"],
        ports=["HEALTH_PORT", *ports],
        env=env,
        ready="http://127.0.0.1:{HEALTH_PORT}/",
    )
