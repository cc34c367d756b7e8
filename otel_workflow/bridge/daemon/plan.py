"""What a daemon is to do, decided and checked before anything is opened."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from otel_workflow.bridge.daemon.addresses import Address, is_own
from otel_workflow.bridge.daemon.tls import TlsFiles
from otel_workflow.bridge.destination import Destination
from otel_workflow.errors import ConfigError
from otel_workflow.journal.upkeep import MAX_BYTES

__all__ = ("Plan", "instance_of", "read_token")

_SHORTEST_TOKEN = 16


@dataclass(frozen=True, slots=True)
class Plan:
    """Where a daemon reads, listens, shows and sends; ``push`` and ``metrics`` exclude each other.

    ``deadline``, ``lost_after`` and ``run_ttl`` are in seconds, ``journal_max`` is in bytes. Raises
    ConfigError: OW-152 for addresses beyond loopback where anybody could send, OW-153 for outputs
    that exclude each other or lack a destination, OW-154 for a destination that is the daemon
    itself, OW-157 for TLS without a certificate and the other way round.
    """

    state: Path
    journals: Sequence[Path] = ()
    listen: Sequence[Address] = ()
    metrics: Address | None = None
    push: Destination | None = None
    push_interval: float = 60.0
    destination: Destination | None = None
    forward: bool = False
    lost_after: float = 60.0
    deadline: float = 30.0
    birth_hold: float | None = None
    journal_max: int = MAX_BYTES
    run_ttl: float = 86_400.0
    token: bytes = field(default=b"", repr=False)
    tls: TlsFiles | None = None

    def __post_init__(self) -> None:
        self._check_outputs()
        self._check_tls()
        for address in self.listen:
            if not (self.token or self._knows_clients(address) or address.is_loopback):
                raise ConfigError(
                    f"--listen {address} can be reached from elsewhere, and no token is set",
                    code="OW-152",
                    hint="give --token-file FILE, or listen at 127.0.0.1",
                )

    def _knows_clients(self, address: Address) -> bool:
        """True when only who has a certificate of the given authority can connect."""
        return address.is_tls and self.tls is not None and self.tls.client_ca is not None

    def _check_tls(self) -> None:
        places = [*self.listen, *([self.metrics] if self.metrics is not None else [])]
        secure = [str(address) for address in places if address.is_tls]
        if secure and self.tls is None:
            raise ConfigError(
                f"{secure[0]} needs a certificate", code="OW-157", hint="give --tls-cert FILE and --tls-key FILE"
            )
        if self.tls is not None and not secure:
            raise ConfigError(
                f"--tls-cert {str(self.tls.certificate)!r} is shown to nobody: no address has TLS",
                code="OW-157",
                hint="write --listen https://… or grpcs://…, or --metrics https://…",
            )

    def _check_outputs(self) -> None:
        if self.push is not None and self.metrics is not None:
            raise ConfigError(
                "--push and --metrics give the same numbers twice", code="OW-153", hint="choose one of them"
            )
        if self.forward and self.destination is None:
            raise ConfigError(
                "--forward has nowhere to send to",
                code="OW-153",
                hint="set OTEL_EXPORTER_OTLP_ENDPOINT, for example to http://localhost:4318",
            )
        if self.forward and not self.listen:
            raise ConfigError("--forward hears nothing to send", code="OW-153", hint="give --listen, too")

    def check_loop(self, addresses: Sequence[Address]) -> None:
        """Refuse to send to one of the addresses at which the daemon listens, whatever its name there."""
        for destination in (self.destination, self.push):
            if destination is not None and is_own(destination.url, addresses):
                raise ConfigError(
                    f"{destination.display} is this daemon itself",
                    code="OW-154",
                    hint="set OTEL_EXPORTER_OTLP_ENDPOINT to the backend, or listen at another port",
                )


def instance_of(state: Path) -> str:
    """Return the name of the daemon that a state directory belongs to: made once, kept in it.

    Empty where the directory cannot be written, about which whoever opens the state complains.
    """
    path = state / "instance"
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.write(os.urandom(8).hex())
        return path.read_text(encoding="ascii", errors="replace").strip()[:64]
    except OSError:
        return ""


def read_token(path: Path) -> bytes:
    """Return the token in a file, without white space around it; raises ConfigError (OW-155)."""
    try:
        with path.open("rb") as file:
            token = file.read(4096).strip()
    except OSError as error:
        raise ConfigError(
            f"--token-file {str(path)!r} cannot be read: {error.strerror}", code="OW-155", hint="give a readable file"
        ) from error
    if len(token) < _SHORTEST_TOKEN or any(byte < 33 or byte > 126 for byte in token):
        raise ConfigError(
            f"--token-file {str(path)!r} holds no token",
            code="OW-155",
            hint=f"write at least {_SHORTEST_TOKEN} visible ASCII characters into it, such as: openssl rand -hex 32",
        )
    return token
