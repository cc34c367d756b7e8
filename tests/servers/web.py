"""Ask a server on this machine over HTTP, and wait until it answers."""

from __future__ import annotations

import http.client
import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any

# Without this, a proxy named in the environment would be asked for 127.0.0.1.
_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def get(url: str, query: Mapping[str, str] | None = None, timeout: float = 10.0) -> tuple[int, str]:
    """Fetch a page: its status, whichever it is, and its text."""
    full = f"{url}?{urllib.parse.urlencode(query)}" if query else url
    try:
        with _direct.open(full, timeout=timeout) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.code, refusal.read().decode(errors="replace")


def get_json(url: str, query: Mapping[str, str] | None = None) -> Any:
    """Fetch a page of JSON; None for 404, a RuntimeError for any other refusal."""
    status, text = get(url, query)
    if status == 404:
        return None
    if status != 200:
        raise RuntimeError(f"GET {url} {dict(query or {})} answered {status}: {text[:400]}")
    return json.loads(text)


def answers(url: str) -> bool:
    """True when the page is there with status 200."""
    try:
        return get(url, timeout=2.0)[0] == 200
    except (OSError, http.client.HTTPException):
        return False


def until(holds: Callable[[], bool], timeout: float, pause: float = 0.05) -> bool:
    """Ask again and again until something holds; False when `timeout` seconds were not enough."""
    deadline = time.monotonic() + timeout
    while not holds():
        if time.monotonic() >= deadline:
            return False
        time.sleep(pause)
    return True
