"""Every setting of ours, once: the table from which flags, environment and documentation come.

Order: an argument or a flag, then the environment (an empty variable counts as unset), then
``[tool.otel-workflow]`` where a command has read it, then the default. No ``OTEL_*`` variable is
spelled anew: those are read by what they configure. This table is read in every recording
process, so it parses by itself and loads no validation library.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from otel_workflow.errors import ConfigError

__all__ = ("SETTINGS", "Setting", "Settings")

_UNITS = {"": 1, "b": 1, "kib": 1024, "mib": 1024**2, "gib": 1024**3, "kb": 1000, "mb": 1000**2, "gb": 1000**3}
_TABLE = "[tool.otel-workflow]"
_TRACEPARENT = r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?"


def _text(value: str) -> str:
    return value


def _seconds(value: str) -> float:
    number = float(value)
    if not 0 <= number < float("inf"):
        raise ValueError
    return number


def _size(value: str) -> int:
    number = value.strip().lower()
    unit = number.lstrip("0123456789. ")
    size = int(float(number.removesuffix(unit)) * _UNITS[unit])
    if size <= 0:
        raise ValueError
    return size


def _digits(value: str) -> str:
    if not (value.isascii() and value.isdigit()):
        raise ValueError
    return value


def _parent(value: str) -> str:
    if value not in ("auto", "link", "none") and re.fullmatch(_TRACEPARENT, value) is None:
        raise ValueError
    return value


def _address(value: str) -> str:
    if not value.startswith(("http://", "https://")) or "{trace_id}" not in value:
        raise ValueError
    return value


def _switch(value: str) -> bool:
    word = value.strip().lower()
    if word in ("1", "true", "yes", "on"):
        return True
    if word in ("0", "false", "no", "off"):
        return False
    raise ValueError


def _one_of(*words: str) -> Callable[[str], str]:
    def parse(value: str) -> str:
        if value not in words:
            raise ValueError
        return value

    return parse


@dataclass(frozen=True, slots=True)
class Setting:
    """One row: ``expects`` is what a wrong value's message tells the user to give.

    ``in_project`` is False for paths and addresses, which a project's own file may not set: in a
    fork's pull request that file is a stranger's.
    """

    name: str
    env: str
    default: Any
    parse: Callable[[str], Any]
    expects: str
    says: str
    in_project: bool = True

    def read(self, value: str, origin: str) -> Any:
        """Parse a value; raises ConfigError (OW-101) naming it, its origin and the remedy."""
        try:
            return self.parse(value.strip())
        except (ValueError, KeyError, OverflowError):
            raise ConfigError(f"{origin}={value!r} is not {self.expects}", hint=f"give {self.expects}") from None


SETTINGS: tuple[Setting, ...] = (
    Setting("journal", "OW_JOURNAL", "", _text, "a directory", "where events are kept", in_project=False),
    Setting("journal_max", "OW_JOURNAL_MAX", 512 * 1024**2, _size, "a size such as 512MiB", "most bytes kept"),
    Setting(
        "journal_sync",
        "OW_JOURNAL_SYNC",
        "interval",
        _one_of("interval", "always", "never"),
        "interval, always or never",
        "when records are forced to disk: every 100 ms, each, or never",
    ),
    Setting("deadline", "OW_DEADLINE", None, _seconds, "a number of seconds", "longest wait for delivery at the end"),
    Setting("ids", "OW_IDS", "otel-workflow", _text, "the name of an id contract", "how ids of CI runs are made"),
    Setting("job", "OW_JOB", "self", _one_of("self", "provider"), "self or provider", "who emits run and job in CI"),
    Setting("check_run_id", "OW_CHECK_RUN_ID", "", _digits, "a number", "the job's check run id at GitHub"),
    Setting(
        "parent", "OW_PARENT", "auto", _parent, "auto, link, none or a traceparent", "what TRACEPARENT is to a run"
    ),
    Setting("workflow", "OW_WORKFLOW", "", _text, "a name", "the workflow's name"),
    Setting(
        "trace_url",
        "OW_TRACE_URL",
        "",
        _address,
        "an http address with {trace_id} in it",
        "where a trace can be seen",
        in_project=False,
    ),
    Setting("pytest", "OW_PYTEST", "", _one_of("tests", "phases"), "tests or phases", "what the pytest plugin records"),
    Setting("run_ttl", "OW_RUN_TTL", 86_400.0, _seconds, "a number of seconds", "when a silent run is lost"),
    Setting("birth_hold", "OW_BIRTH_HOLD", None, _seconds, "a number of seconds", "how long new series show 0"),
    Setting(
        "heartbeat",
        "OW_HEARTBEAT",
        0.0,
        _seconds,
        "a number of seconds",
        "how often an open run tells a bridge elsewhere that it lives; 0: never",
    ),
    Setting("tls_cert", "OW_TLS_CERT", "", _text, "a file", "the bridge's own certificate, in PEM", in_project=False),
    Setting("tls_key", "OW_TLS_KEY", "", _text, "a file", "its key, in PEM", in_project=False),
    Setting(
        "tls_client_ca",
        "OW_TLS_CLIENT_CA",
        "",
        _text,
        "a file",
        "who signs the certificates that the bridge's clients must have",
        in_project=False,
    ),
    Setting("disabled", "OW_DISABLED", False, _switch, "true or false", "switches recording off"),
)


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings in force, with where each came from."""

    values: Mapping[str, Any]
    origins: Mapping[str, str]

    @classmethod
    def read(
        cls,
        environ: Mapping[str, str],
        arguments: Mapping[str, Any] | None = None,
        project: Mapping[str, Any] | None = None,
    ) -> Settings:
        """Read all settings; raises ConfigError (OW-101) for the first value that cannot be used.

        ``project`` is the table ``[tool.otel-workflow]``, read by commands only, never by the library.
        """
        values: dict[str, Any] = {}
        origins: dict[str, str] = {}
        given, table = arguments or {}, _checked(project or {})
        for setting in SETTINGS:
            if given.get(setting.name) not in (None, ""):
                values[setting.name] = setting.read(str(given[setting.name]), setting.name)
                origins[setting.name] = "argument"
            elif environ.get(setting.env, "").strip():
                values[setting.name] = setting.read(environ[setting.env], setting.env)
                origins[setting.name] = setting.env
            elif setting.name in table:
                values[setting.name] = setting.read(str(table[setting.name]), f"{_TABLE} {setting.name}")
                origins[setting.name] = _TABLE
            else:
                values[setting.name], origins[setting.name] = setting.default, "default"
        return cls(values, origins)

    def __getattr__(self, name: str) -> Any:
        if name in ("values", "origins"):  # not set yet: a copy is being made
            raise AttributeError(name)
        try:
            return self.values[name]
        except KeyError:
            raise AttributeError(name) from None


def _checked(project: Mapping[str, Any]) -> dict[str, Any]:
    """Return the project's table with our names; raises ConfigError for a name it may not set."""
    allowed = {setting.name for setting in SETTINGS if setting.in_project}
    table = {str(key).replace("-", "_"): value for key, value in project.items()}
    for name in table:
        if name not in allowed:
            known = next((setting for setting in SETTINGS if setting.name == name), None)
            raise ConfigError(
                f"{_TABLE} {name} is not a setting" if known is None else f"{_TABLE} may not set {name}",
                hint=f"one of {', '.join(sorted(allowed))}" if known is None else f"set {known.env} or give the flag",
            )
    return table
