"""Where the signals beside traces go: their own standard variables, then the shared ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

from otel_workflow.bridge.destination import Destination
from otel_workflow.errors import ConfigError

__all__ = ("destination_for",)

_SHARED = "OTEL_EXPORTER_OTLP_"


def destination_for(signal: Literal["metrics", "logs"], environ: Mapping[str, str]) -> Destination | None:
    """Read ``OTEL_EXPORTER_OTLP_<SIGNAL>_*``, then ``OTEL_EXPORTER_OTLP_*``; None when no endpoint is set.

    Raises ConfigError as ``Destination.from_environ`` does.
    """
    name = f"{signal.upper()}_"
    # What traces are told is not for this signal, and what it is told is read as traces would be.
    plain = {k: v for k, v in environ.items() if not k.startswith(f"{_SHARED}TRACES_") and k != "OTEL_TRACES_EXPORTER"}
    own = {
        k.replace(f"{_SHARED}{name}", f"{_SHARED}TRACES_"): v
        for k, v in plain.items()
        if k.startswith(f"{_SHARED}{name}")
    }
    try:
        found = Destination.from_environ({**plain, **own})
    except ConfigError as error:
        raise ConfigError(
            str(error.args[0]).replace("_TRACES_", f"_{name}"), code=error.code, hint=error.hint
        ) from error
    if found is None or found.protocol == "grpc" or own.get(f"{_SHARED}TRACES_ENDPOINT", "").strip():
        return found
    return replace(found, url=f"{found.url.removesuffix('/v1/traces')}/v1/{signal}")
