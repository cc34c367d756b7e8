"""The verbs, one file each; what a verb needs is loaded when it runs."""

__all__ = ()
