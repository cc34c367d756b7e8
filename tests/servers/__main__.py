"""The command line: `python -m tests.servers build [NAMES]`, `ensure-jaeger`, `status`."""

from __future__ import annotations

import argparse
import sys

from tests.servers import docker_engine, jaeger_ways
from tests.servers.build import build, cached
from tests.servers.recipes import RECIPES, SERVERS
from tests.servers.unavailable import Unavailable


def main() -> int:
    """Do what the command line says; 0 when it was done."""
    parser = argparse.ArgumentParser(prog="python -m tests.servers", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    of_build = verbs.add_parser("build", help="build the named servers, all of them by default")
    of_build.add_argument("names", nargs="*", metavar="NAME", help=", ".join(SERVERS))
    verbs.add_parser("ensure-jaeger", help="build Jaeger only if the tests have no other way to it")
    verbs.add_parser("status", help="what is there, and what the tests would use")
    asked = parser.parse_args()
    if asked.verb == "build":
        for name in asked.names:
            if name not in SERVERS:
                parser.error(f"no server is called {name!r}; there are {', '.join(SERVERS)}")
        return _build(asked.names or list(SERVERS))
    if asked.verb == "ensure-jaeger":
        return _ensure_jaeger()
    return _status()


def _build(names: list[str]) -> int:
    failed = 0
    for name in names:
        try:
            build(name, _say)
        except Unavailable as reason:
            _say(str(reason))
            failed = 1
    return failed


def _ensure_jaeger() -> int:
    """Never fails: a machine without Jaeger runs the other tests, and CI fails in the fixture."""
    try:
        _say(f"jaeger: {jaeger_ways.ensure(_say)}")
    except Unavailable as reason:
        _say(f"jaeger: none for the tests: {reason}")
    return 0


def _status() -> int:
    for name in SERVERS:
        found = cached(name)
        _say(f"{name} {RECIPES[name].version}: {found or 'not built'}")
    _say(f"docker: {docker_engine.describe()}")
    return 0


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
