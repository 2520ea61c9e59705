"""The trace of a run: every event and effect as one line of text, and a running hash of the lines.

Owns the canonical textual form. Invariant: a line depends on the values alone, never on an address,
a hash or the order of a set, so that equal runs give equal hashes in every process. The hash is the
BLAKE2b (16 bytes) of the lines as a file holds them: `b2sum -l 128` on a kept trace gives it again.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from zlib import crc32

from rabbitry import machine as m

_TAIL_STEPS_COUNT = 40


def canonical(value: Any) -> str:
    """Return a text for a value of a report or an answer, the same in every process.

    Sets are sorted by their members' texts; an object of an unknown type is only its type's name.
    """
    if value is None or isinstance(value, str | int | float | bytes):
        return repr(value)
    if isinstance(value, m.Address):
        return str(value)
    if isinstance(value, list | tuple):
        return "[" + ",".join(canonical(item) for item in value) + "]"
    if isinstance(value, set | frozenset):
        return "{" + ",".join(sorted(canonical(item) for item in value)) + "}"
    if isinstance(value, dict):
        return "{" + ",".join(f"{canonical(k)}:{canonical(v)}" for k, v in value.items()) + "}"
    return f"<{type(value).__name__}>"


def _bytes_text(data: m.Value) -> str:
    return f"{len(data)}b #{crc32(data):08x}"


def _started_text(e: m.Started) -> str:
    stored = crc32(b"".join(len(k).to_bytes(4, "big") + k + v for k, v in e.stored))
    bulk = crc32(b"".join([*e.bulk, b"damaged", *e.damaged]))
    return f"Started stored={len(e.stored)} #{stored:08x} bulk={len(e.bulk)} #{bulk:08x}"


def _commit_text(e: m.Commit) -> str:
    digest = 0
    for key, value in e.writes:
        written = b"\0" if value is None else b"\1" + value
        digest = crc32(len(key).to_bytes(4, "big") + key + written, digest)
    return f"Commit {e.commit} writes={len(e.writes)} #{digest:08x}"


def _values_text(values: Sequence[m.Value | None]) -> str:
    return " ".join("none" if value is None else _bytes_text(value) for value in values)


def _measures_text(e: m.LinksMeasured) -> str:
    return f"LinksMeasured {e.number} " + " ".join(
        f"{each.link}:{each.bytes_received},{each.active_at},{each.bytes_waiting}"
        for each in e.measures
    )


_TEXTS: dict[type, Callable[[Any], str]] = {
    m.Started: _started_text,
    m.ListenerOpened: lambda e: f"ListenerOpened {e.listener} {e.address}",
    m.LinkOpened: lambda e: f"LinkOpened {e.link} {e.listener!r} {e.peer}",
    m.BytesReceived: lambda e: f"BytesReceived {e.link} {_bytes_text(e.data)}",
    m.LinkFinished: lambda e: f"LinkFinished {e.link}",
    m.LinkClosed: lambda e: f"LinkClosed {e.link} {e.reason!r}",
    m.WritingPaused: lambda e: f"WritingPaused {e.link}",
    m.WritingResumed: lambda e: f"WritingResumed {e.link}",
    m.LinksMeasured: _measures_text,
    m.TimerFired: lambda e: f"TimerFired {e.timer}",
    m.Committed: lambda e: f"Committed {e.commit}",
    m.CommitFailed: lambda e: f"CommitFailed {e.commit} {e.reason!r}",
    m.Loaded: lambda e: f"Loaded {e.load} {_values_text(e.values)}",
    m.AlarmChanged: lambda e: f"AlarmChanged {e.resource} {e.low}",
    m.Asked: lambda e: f"Asked {e.number} {canonical(e.question)}",
    m.OpenLink: lambda e: f"OpenLink {e.link} {e.address}",
    m.SendBytes: lambda e: f"SendBytes {e.link} {_bytes_text(e.data)}",
    m.FinishLink: lambda e: f"FinishLink {e.link}",
    m.CloseLink: lambda e: f"CloseLink {e.link}{' abort' if e.abort else ''}",
    m.PauseReading: lambda e: f"PauseReading {e.link}",
    m.ResumeReading: lambda e: f"ResumeReading {e.link}",
    m.JoinLinks: lambda e: f"JoinLinks {e.first} {e.second}",
    m.MeasureLinks: lambda e: f"MeasureLinks {e.number} {' '.join(map(str, e.links)) or 'all'}",
    m.PauseListening: lambda e: f"PauseListening {e.listener}{' refuse' if e.refuse else ''}",
    m.StopListening: lambda e: f"StopListening {e.listener}",
    m.ResumeListening: lambda e: f"ResumeListening {e.listener}",
    m.SetTimer: lambda e: f"SetTimer {e.timer} {e.at}",
    m.CancelTimer: lambda e: f"CancelTimer {e.timer}",
    m.Commit: _commit_text,
    m.Load: lambda e: f"Load {e.load} {_values_text(e.keys)}",
    m.Report: lambda e: f"Report {e.level} {e.what!r} {canonical(e.details)}",
    m.Answer: lambda e: f"Answer {e.number} {canonical(e.answer)}",
    m.Stop: lambda e: f"Stop {e.reason!r}",
}


def text_of(item: m.Event | m.Effect) -> str:
    """Return the canonical text of an event or effect. Raises KeyError for anything else."""
    return _TEXTS[type(item)](item)


class Trace:
    """What has happened in a run: a hash always, the last steps always, all lines if `keep`."""

    def __init__(self, *, keep: bool = False) -> None:
        self._hash = hashlib.blake2b(digest_size=16)
        self._tail: deque[str] = deque(maxlen=_TAIL_STEPS_COUNT)
        self._kept: list[str] | None = [] if keep else None

    def step(self, now: int, host: str, event: m.Event, effects: list[m.Effect]) -> None:
        """Add one step of a machine: the event (`<`) and its effects (`>`)."""
        lines = f"{now} {host} < {_TEXTS[type(event)](event)}\n"
        if effects:
            head = f"{now} {host} > "
            for effect in effects:
                lines += f"{head}{_TEXTS[type(effect)](effect)}\n"
        self._add(lines)

    def note(self, now: int, host: str, text: str) -> None:
        """Add something that the driver did (`*`): a crash, a partition, a phase of the run."""
        self._add(f"{now} {host} * {text}\n")

    def _add(self, lines: str) -> None:
        self._hash.update(lines.encode())
        self._tail.append(lines)
        if self._kept is not None:
            self._kept.append(lines)

    @property
    def is_kept(self) -> bool:
        """Whether all lines are kept."""
        return self._kept is not None

    @property
    def hash(self) -> str:
        """The hash over all lines so far, as 32 hexadecimal digits."""
        return self._hash.hexdigest()

    def tail(self) -> str:
        """Return the lines of the last steps."""
        return "".join(self._tail)

    def text(self) -> str:
        """Return all lines. Raises ValueError if the trace was not kept."""
        if self._kept is None:
            raise ValueError("this trace keeps only its tail: make the world with keep_trace=True")
        return "".join(self._kept)

    def write(self, path: Path) -> None:
        """Write all lines to `path`. Raises ValueError if the trace was not kept."""
        path.write_text(self.text(), encoding="utf-8")
