"""The version of this package; held equal to ``pyproject.toml`` by a test."""

__all__ = ("VERSION",)

VERSION = "0.1.0"
