"""The words in which CI providers say how a job ended, as one of the six outcomes."""

from __future__ import annotations

from otel_workflow.events import Outcome

__all__ = ("outcome_named",)

_WORDS: dict[Outcome, str] = {
    Outcome.SUCCESS: "success successful succeeded passed pass ok green fixed neutral succeededwithissues",
    Outcome.FAILURE: "failure failed fail unstable broken stillfailing actionrequired",
    Outcome.ERROR: "error errored infrastructurefail startupfailure stale lost killed",
    Outcome.CANCELLATION: "cancellation cancelled canceled cancel aborted stopped",
    Outcome.SKIP: "skip skipped notbuilt manual blocked",
    Outcome.TIMEOUT: "timeout timedout",
}
_OUTCOMES = {word: outcome for outcome, words in _WORDS.items() for word in words.split()}


def outcome_named(word: str) -> Outcome | None:
    """Return the outcome that a provider's word means; None for a word of nobody.

    Case and what joins words do not matter (``timed_out``, ``Timed Out``). A number is an exit code.
    """
    plain = "".join(filter(str.isalnum, word.lower()))
    if word.strip().isascii() and plain.isdigit():
        return Outcome.SUCCESS if int(plain) == 0 else Outcome.FAILURE
    return _OUTCOMES.get(plain)
