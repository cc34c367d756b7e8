"""A small real quality gate, for ``demo``: a package, its checks, and a worker that is killed."""

__all__ = ()
