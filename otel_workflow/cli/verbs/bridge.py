"""``otel-workflow bridge``: the daemon that delivers for ever and counts exactly."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ("bridge",)


def bridge(
    journal: Annotated[
        list[Path] | None,
        typer.Option(
            "--journal", metavar="DIR", help="A journal to watch; several are allowed; default: see 'status'."
        ),
    ] = None,
    listen: Annotated[
        list[str] | None,
        typer.Option(
            "--listen",
            metavar="URL",
            help="Take OTLP at http://HOST:PORT or grpc://HOST:PORT, https or grpcs for TLS; repeatable.",
        ),
    ] = None,
    metrics: Annotated[
        str | None,
        typer.Option(
            "--metrics", metavar="HOST:PORT", help="Show the metrics at /metrics there; https://HOST:PORT for TLS."
        ),
    ] = None,
    push: Annotated[bool, typer.Option("--push", help="Push the metrics over OTLP instead of showing them.")] = False,
    state: Annotated[
        Path | None, typer.Option("--state", metavar="DIR", help="Where the counters are kept; one daemon each.")
    ] = None,
    forward: Annotated[
        bool, typer.Option("--forward", help="Send the spans that were heard to OTEL_EXPORTER_OTLP_ENDPOINT.")
    ] = False,
    lost_after: Annotated[
        str, typer.Option("--lost-after", metavar="S", help="A remote run that is silent for S seconds is lost.")
    ] = "60",
    token_file: Annotated[
        Path | None, typer.Option("--token-file", metavar="F", help="The bearer token that senders of OTLP must give.")
    ] = None,
    tls_cert: Annotated[
        Path | None, typer.Option("--tls-cert", metavar="F", help="The certificate for https and grpcs (OW_TLS_CERT).")
    ] = None,
    tls_key: Annotated[
        Path | None, typer.Option("--tls-key", metavar="F", help="Its key, if not in the same file (OW_TLS_KEY).")
    ] = None,
    tls_client_ca: Annotated[
        Path | None,
        typer.Option(
            "--tls-client-ca", metavar="F", help="Take only clients with a certificate it signed (OW_TLS_CLIENT_CA)."
        ),
    ] = None,
) -> int:
    """Deliver what waits in journals, for ever, and count runs and phases exactly.

    Reads journal directories and, with --listen, OTLP traces and log events from CI jobs and
    collectors. Spans of journals go to OTEL_EXPORTER_OTLP_ENDPOINT if that is set; what was heard
    only with --forward. Metrics appear at --metrics (OTEL_EXPORTER_PROMETHEUS_HOST and _PORT are
    its default if set), or are pushed with --push; /healthz says how it is.

    SIGTERM or Ctrl-C ends it: what is there is counted and sent within OW_DEADLINE (30 seconds); a
    second one ends it at once.

    Exit code 0 when nothing is left, 1 when an address or the state is taken, 3 when something
    still waits.
    """
    from otel_workflow.cli.bridging import Wishes, run_bridge

    return run_bridge(
        Wishes(
            journals=tuple(journal or ()),
            listen=tuple(listen or ()),
            metrics=metrics,
            push=push,
            state=state,
            forward=forward,
            lost_after=lost_after,
            token_file=token_file,
            tls_cert=tls_cert,
            tls_key=tls_key,
            tls_client_ca=tls_client_ca,
        )
    )
