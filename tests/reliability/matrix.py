"""The failure matrix, row by row."""

from __future__ import annotations

from collections.abc import Mapping

from tests.reliability.lifecycle_rows import LIFECYCLE
from tests.reliability.publisher_rows import PUBLISHER
from tests.reliability.row import Row
from tests.reliability.security_rows import SECURITY
from tests.reliability.transport_rows import TRANSPORT

__all__ = ("MATRIX",)

MATRIX: Mapping[str, tuple[Row, ...]] = {
    "Publisher and handlers": PUBLISHER,
    "The life of a phase": LIFECYCLE,
    "Transport and export": TRANSPORT,
    "Security": SECURITY,
}
