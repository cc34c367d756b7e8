"""What is built and from what: one recipe per server binary."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

MODULES = Path(__file__).parent / "go"


@dataclass(frozen=True)
class Recipe:
    """How one binary comes out of one committed Go module.

    `package` is what `go build` is given. `generated_by` names the recipe of the
    program that first writes the Go sources, for the Collector alone.
    """

    name: str
    version: str
    package: str
    minutes: str
    generated_by: str | None = None

    @property
    def module(self) -> Path:
        """The folder with go.mod and go.sum (and builder.yaml)."""
        return MODULES / self.name

    @property
    def fingerprint(self) -> str:
        """A short hash of the module's files, so that a changed go.sum builds anew."""
        digest = hashlib.sha256(f"{self.package}\0".encode())
        for file in sorted(self.module.iterdir()):
            digest.update(f"{file.name}\0".encode() + file.read_bytes() + b"\0")
        return digest.hexdigest()[:10]


# Jaeger's module is v1.76.0, which is the commit of v2.13.0: Go refuses v2 tags
# of a module whose path does not end in /v2. Prometheus counts 3.9.1 as v0.309.1.
RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe("jaeger", "2.13.0", "github.com/jaegertracing/jaeger/cmd/jaeger", "3 to 7 minutes"),
        Recipe(
            "prometheus",
            "3.9.1",
            "github.com/prometheus/prometheus/cmd/prometheus",
            "2 to 4 minutes",
        ),
        Recipe("otelcol", "0.158.0", ".", "about 2 minutes", generated_by="otelcol-builder"),
        Recipe(
            "otelcol-builder",
            "0.159.0",
            "go.opentelemetry.io/collector/cmd/builder",
            "half a minute",
        ),
    )
}

SERVERS = ("jaeger", "prometheus", "otelcol")
