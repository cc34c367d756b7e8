"""The one error of this package: something cannot be had here, and why."""


class Unavailable(Exception):
    """A way to a server that cannot be taken on this machine.

    It is an answer more than a failure: the next way is tried, and when none is
    left the reasons are what the skipped test shows.
    """
