"""What the bridge knows of phases that are open, have just ended, or ended a while ago.

A usual phase (one start, one end, one process) waits as the two payloads that the journal has:
they are small, and ``pairs.py`` makes its span without decoding them. Whatever else is said of a
phase sends it through the fold (``runs.py``). Both ways give the same bytes.

An end is held until all that is there has been read, so that the order in which records are read
changes nothing. What ended is remembered by its ids for a while: a later word must not open it
again, and a later end that says something else becomes a correction.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from itertools import islice
from zlib import crc32

from otel_workflow.bridge.waiting import Said
from otel_workflow.errors import DecodeError
from otel_workflow.events import END_TRANSITIONS, TRANSITIONS, Event
from otel_workflow.journal.record import EVENT_HEAD, IS_RUN, VERSION, decode_event
from otel_workflow.runs import PhaseRun, RunStore, is_before

__all__ = ("Ended", "OpenPhases", "key_of")

_STARTED = TRANSITIONS.index("started")
_ENDS = frozenset(TRANSITIONS.index(name) for name in END_TRANSITIONS)
_KEPT = 10_000
_MOST_SAID = 256  # records of one open phase that are kept for a restart
_LATE = b"late"


_Keys = Mapping[str, int] | AbstractSet[str]


def _is_run(phase: PhaseRun) -> bool:
    facts = phase.facts
    return facts.is_run and not facts.nested


def key_of(ids: bytes) -> str:
    """Return how the cursor names a span: trace id and span id in hex."""
    return f"{ids[:16].hex()}:{ids[16:24].hex()}"


def _mark(payload: bytes) -> int:
    """Return by what an end is known again, in another process too."""
    return len(payload) << 32 | crc32(payload)


@dataclass(slots=True)
class Ended:
    """A phase that has ended, and where the record stands that said so first.

    ``pair`` are the start and the end record of a usual phase, else ``phase`` is what the fold
    made of it. ``late`` is instead an end that came when the span was made already; it
    ``corrects`` a span that was made because the process seemed dead. ``settled`` says that the
    span was acknowledged in an earlier life. ``heard`` are marks of the ends, by which a
    repetition is known.
    """

    owner: str
    source: str
    end: int
    heard: tuple[int, ...]
    settled: bool = False
    pair: tuple[bytes, bytes] | None = None
    phase: PhaseRun | None = None
    late: Event | None = None
    corrects: bool = False


@dataclass(slots=True)
class OpenPhases:
    """Takes the payloads of event records; ids are the 24 bytes of trace and span id.

    ``_said`` holds, for each phase in the fold, the records that made it what it is, unless they are too many.
    ``told`` holds the keys of spans that were made because their process seemed dead.
    ``unparsed`` counts records that did not parse.
    """

    told: tuple[_Keys, _Keys] = (frozenset(), frozenset())
    unparsed: int = 0
    _roots: dict[bytes, PhaseRun] = field(default_factory=dict)
    _fold: RunStore = field(default_factory=RunStore)
    _said: dict[bytes, list[Said]] = field(default_factory=dict)
    _too_long: set[bytes] = field(default_factory=set)
    _starts: dict[bytes, Said] = field(default_factory=dict)
    _started_by: Counter[str] = field(default_factory=Counter)
    _ending: dict[bytes, Ended] = field(default_factory=dict)
    _ended: dict[bytes, tuple[int, ...]] = field(default_factory=dict)

    # -- in -------------------------------------------------------------------------------------

    def take(self, payload: bytes, owner: str, source: str, end: int, settled: bool) -> None:
        """Take one event; ``source`` and ``end`` say where its record stands."""
        if len(payload) <= EVENT_HEAD.size:
            self.unparsed += 1
            return
        ids, transition = payload[4:28], payload[1]
        if payload[0] == VERSION and not payload[2] & IS_RUN:
            starts = self._starts
            if transition == _STARTED:
                if self._is_new(ids):
                    starts[ids] = owner, source, payload
                    self._started_by[owner] += 1
                    return
            elif transition in _ENDS:
                start = starts.get(ids)
                if start is not None and start[0] == owner and not self._was_told(ids):
                    del starts[ids]
                    self._started_by[owner] -= 1
                    self._ending[ids] = Ended(owner, source, end, (_mark(payload),), settled, (start[2], payload))
                    return
        self._merge(ids, payload, Ended(owner, source, end, (_mark(payload),), settled))

    def _is_new(self, ids: bytes) -> bool:
        return not (ids in self._starts or ids in self._ending or ids in self._ended or ids in self._said)

    def _was_told(self, ids: bytes) -> bool:
        sent, queued = self.told
        if not sent and not queued:
            return False
        key = key_of(ids)
        return key in sent or key in queued

    def _forget_start(self, ids: bytes) -> None:
        owner = self._starts.pop(ids)[0]
        self._started_by[owner] -= 1

    def _merge(self, ids: bytes, payload: bytes, said: Ended) -> None:
        """Take an event by way of the fold, and all that is known of its phase with it."""
        event = self._decoded(payload)
        if event is None:
            return
        is_end = event.transition in END_TRANSITIONS
        if ids in self._ended:
            if is_end:
                self._add_late(ids, event, said)
            return
        self._unfold(ids)
        known = self._ending.get(ids)
        if is_end and known is not None and known.settled and known.source == said.source:
            self._add_late(ids, event, said)
            return
        phase = self._add(ids, event, (said.owner, said.source, payload))
        if not is_end:
            return
        if known is not None:
            known.heard += said.heard
            if known.settled and not said.settled:  # of two sources: sent twice rather than never
                known.source, known.end, known.settled = said.source, said.end, False
        elif self._was_told(ids):
            self._discard(ids)
            self._ended[ids] = ()
            self._add_late(ids, event, said)
        else:
            said.phase = phase
            self._ending[ids] = said

    def _decoded(self, payload: bytes) -> Event | None:
        try:
            return decode_event(payload)
        except DecodeError:
            self.unparsed += 1
            return None

    def _add(self, ids: bytes, event: Event, said: Said) -> PhaseRun | None:
        phase = self._fold.add(event, said[0])
        if phase is not None:
            self._note(ids, said)
            if _is_run(phase):
                self._roots[ids] = phase
        return phase

    def _note(self, ids: bytes, said: Said) -> None:
        every = self._said.setdefault(ids, [])
        if ids in self._too_long:
            return
        every.append(said)
        if len(every) > _MOST_SAID:
            every.clear()
            self._too_long.add(ids)

    def _unfold(self, ids: bytes) -> None:
        """Bring a phase that waits as payloads into the fold."""
        if ids in self._starts:
            said = self._starts[ids]
            self._forget_start(ids)
            event = self._decoded(said[2])
            if event is not None:
                self._add(ids, event, said)
            return
        ended = self._ending.get(ids)
        if ended is not None and ended.pair is not None:
            ended.phase = self._folded_pair(ids, ended)
            if ended.phase is None:
                del self._ending[ids]

    def _folded_pair(self, ids: bytes, ended: Ended) -> PhaseRun | None:
        """Fold a pair; None when its end does not parse: then the phase is open as before."""
        phase = None
        pair, ended.pair = ended.pair, None
        for payload in pair or ():
            event = self._decoded(payload)
            if event is not None:
                phase = self._add(ids, event, (ended.owner, ended.source, payload))
        return phase if phase is not None and phase.end is not None else None

    def _add_late(self, ids: bytes, event: Event, said: Ended) -> None:
        """Keep an end that came late, unless it was heard before or says no more than was said."""
        known = self._ending.get(ids)
        heard = self._ended.get(ids, ()) if known is None else known.heard
        if said.heard[0] in heard:
            return
        if known is None:
            self._ended[ids] = heard + said.heard
        else:
            known.heard += said.heard
        said.corrects = self._was_told(ids)
        if said.settled or (said.corrects and event.transition == "interrupted"):
            return
        said.late = event
        other = self._ending.setdefault(ids + _LATE, said)
        if other.late is not None and is_before(event, other.late):
            other.late, other.owner = event, said.owner

    # -- out ------------------------------------------------------------------------------------

    def finished(self) -> Iterator[tuple[bytes, Ended]]:
        """Yield what has ended since the last call, with its ids; one after the other, so that a caller can pause."""
        ending, self._ending = self._ending, {}
        remembered = self._ended
        for ids, ended in ending.items():
            if ended.late is None:
                remembered[ids] = ended.heard
                if ended.phase is not None:
                    self._discard(ids)
            yield ids, ended
        # All at once: looking for the oldest passes over every place that was emptied before it.
        for ids in list(islice(self._ended, max(len(self._ended) - _KEPT, 0))):
            del self._ended[ids]

    def folded(self, ids: bytes, ended: Ended) -> PhaseRun | None:
        """Return what the fold makes of something finished; None, and open again, if its end does not parse."""
        phase = ended.phase
        if ended.pair is not None:
            phase = self._folded_pair(ids, ended)
            if phase is None:
                self._ended.pop(ids, None)
            else:
                self._discard(ids)
        return phase

    def _discard(self, ids: bytes) -> None:
        if self._said.pop(ids, None) is not None:
            self._too_long.discard(ids)
            self._fold.phases.pop((ids[:16].hex(), ids[16:].hex()), None)

    def discard(self, phase: PhaseRun) -> None:
        """Forget a phase that nobody will ask for again."""
        self._discard(bytes.fromhex(phase.trace_id + phase.span_id))

    # -- through a restart ------------------------------------------------------------------------

    def remembered(self) -> tuple[list[Said], dict[bytes, tuple[int, ...]]] | None:
        """Return all that was said of open phases, and what has ended with the marks of its ends.

        None while a phase is open that said so much that it is kept by the fold alone.
        """
        if self._too_long:
            return None
        return [*self._starts.values(), *(said for every in self._said.values() for said in every)], self._ended

    def recall(self, said: Iterable[Said], ended: Mapping[bytes, tuple[int, ...]]) -> None:
        """Go on from what another one remembered when nothing waited."""
        for owner, source, payload in said:
            self.take(payload, owner, source, 0, True)
        self._ended.update(ended)

    # -- what is open -----------------------------------------------------------------------------

    def store(self) -> RunStore:
        """Return all open phases as the fold has them."""
        for ids in list(self._starts):
            self._unfold(ids)
        return self._fold

    def owners(self) -> set[str]:
        """Return the processes that have open phases."""
        mine = {owner for owner, count in self._started_by.items() if count}
        return mine | {phase.owner for phase in self._fold.phases.values() if phase.is_open}

    def is_open_for(self, owner: str) -> bool:
        """True while a phase of the process is open, or interrupted and not yet emitted."""
        return self._started_by[owner] > 0 or any(phase.owner == owner for phase in self._fold.phases.values())

    def owner_gone(self, owner: str, evidence_ns: int, error_type: str = "killed") -> None:
        """Close every open phase of a process that is proven dead, or was silent for too long."""
        for ids in [ids for ids, said in self._starts.items() if said[0] == owner]:
            self._unfold(ids)
        self._fold.owner_gone(owner, evidence_ns, error_type)

    def interrupted(self) -> list[tuple[PhaseRun, bool]]:
        """Return the phases that were interrupted, each with whether its span's parent is known."""
        found = [phase for phase in self._fold.phases.values() if phase.interrupted]
        return [(phase, self._parent_is_known(phase)) for phase in found]

    def _parent_is_known(self, phase: PhaseRun) -> bool:
        ref = phase.any_event.span
        parent = bytes.fromhex(phase.trace_id + (ref.parent_span_id if ref and ref.parent_span_id else ""))
        return not self._is_new(parent)

    def runs(self) -> list[PhaseRun]:
        """Return the known runs, oldest first."""
        # Which of several starts counts may have changed since, and with it whether this is a run.
        return sorted(filter(_is_run, self._roots.values()), key=lambda root: (root.start_ns, root.span_id))

    def forget_roots(self) -> None:
        """Forget roots that have ended and that no open phase asks for any more."""
        over = [ids for ids, root in self._roots.items() if not root.is_open]
        if over:
            asked = {bytes.fromhex(trace_id) for trace_id, _ in self._fold.phases} | {ids[:16] for ids in self._starts}
            for ids in over:
                if ids[:16] not in asked:
                    del self._roots[ids]
