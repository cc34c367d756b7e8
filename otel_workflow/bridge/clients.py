"""Chooses the client that speaks a destination's protocol."""

from __future__ import annotations

from typing import Literal

from otel_workflow.bridge.destination import Destination
from otel_workflow.bridge.shipper import Client

__all__ = ("client_for",)


def client_for(destination: Destination, signal: Literal["traces", "logs"] = "traces") -> Client:
    """Return a client for the destination; it connects, and loads its library, with its first request.

    Over HTTP the destination's path says which ``signal`` it is for.
    """
    if destination.protocol == "grpc":
        from otel_workflow.bridge.grpc import OtlpGrpcClient

        return OtlpGrpcClient(destination, signal)
    from otel_workflow.bridge.http import OtlpHttpClient

    return OtlpHttpClient(destination)
