"""Adapters to engines that somebody else wrote: one file per engine, nothing changed in its code.

An adapter never raises into its engine, never makes it wait, and sends nothing itself: what the
engine says becomes phases by way of instrumentation. Engines are imported by their users, not by us.
"""

from __future__ import annotations

__all__ = ()
