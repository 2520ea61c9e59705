"""The trace: one line for each thing, a hash over the lines, nothing that differs between runs."""

from __future__ import annotations

import hashlib
import typing
from pathlib import Path

import pytest

from rabbitry import machine as m
from rabbitry.simulation.trace import Trace, canonical, text_of


def test_every_event_and_effect_of_the_contract_has_a_text() -> None:
    samples: list[m.Event | m.Effect] = [
        *[m.Started([(b"k", b"v")]), m.ListenerOpened("amqp", m.Address("a", 1))],
        *[m.LinkOpened(1, "amqp", m.Address("a", 1)), m.BytesReceived(1, b"x")],
        *[m.LinkFinished(1), m.LinkClosed(1, "why"), m.WritingPaused(1), m.WritingResumed(1)],
        *[m.TimerFired("t"), m.Committed(1), m.CommitFailed(1, "full"), m.Asked(1, {"a": 1})],
        *[m.AlarmChanged("disk", True), m.Loaded(1, [b"x", None]), m.Load(1, [b"k"])],
        *[m.OpenLink(-1, m.Address("a", 1)), m.SendBytes(1, b"x"), m.FinishLink(1)],
        *[m.CloseLink(1, abort=True), m.PauseReading(1), m.ResumeReading(1)],
        *[m.JoinLinks(1, -1), m.MeasureLinks([1]), m.PauseListening("a"), m.ResumeListening("a")],
        *[m.StopListening("a")],
        m.LinksMeasured([m.Measure(1, 2, 3, 4)]),
        *[m.SetTimer("t", 5), m.CancelTimer("t"), m.Commit(1, [(b"k", None)])],
        *[m.Report("info", "what", {"n": 1}), m.Answer(1, [1]), m.Stop("why")],
    ]
    kinds = {*typing.get_args(m.Event), *typing.get_args(m.Effect)}
    assert {type(sample) for sample in samples} == kinds
    texts = [text_of(sample) for sample in samples]
    for sample, text in zip(samples, texts, strict=True):
        assert text.startswith(type(sample).__name__)
        assert "\n" not in text and " at 0x" not in text
    assert len(set(texts)) == len(texts)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (m.SendBytes(1, b"abc"), m.SendBytes(1, b"abd")),
        (m.Commit(1, [(b"k", b"v")]), m.Commit(1, [(b"k", None)])),
        (m.Commit(1, [(b"kv", b"")]), m.Commit(1, [(b"k", b"v")])),
        (m.Started([(b"k", b"v")]), m.Started([(b"k", b"w")])),
        (m.Started([], [b"k"]), m.Started([], [b"l"])),
        (m.Started([], [b"k"]), m.Started([], [], [b"k"])),
        (m.Loaded(1, [b"x"]), m.Loaded(1, [None])),
        (m.CloseLink(1), m.CloseLink(1, abort=True)),
        (m.MeasureLinks(), m.MeasureLinks([1])),
        (m.JoinLinks(1, -1), m.JoinLinks(1, -2)),
        (
            m.LinksMeasured([m.Measure(1, 2, 3, 4)]),
            m.LinksMeasured([m.Measure(1, 2, 3, 5)]),
        ),
    ],
)
def test_what_differs_has_different_texts(
    one: m.Event | m.Effect, other: m.Event | m.Effect
) -> None:
    assert text_of(one) != text_of(other)


def test_canonical_values() -> None:
    assert canonical({"b": [1, None], "a": m.Address("h", 5)}) == "{'b':[1,None],'a':h:5}"
    assert canonical({"x", "y", "a"}) == "{'a','x','y'}"
    assert canonical(object()) == "<object>"


def test_the_hash_is_that_of_the_file(tmp_path: Path) -> None:
    trace = Trace(keep=True)
    trace.step(5, "rabbit", m.TimerFired("t"), [m.SendBytes(1, b"x"), m.CloseLink(1)])
    trace.note(6, "rabbit", "crashes")
    path = tmp_path / "trace"
    trace.write(path)
    lines = path.read_bytes()
    assert lines.decode().splitlines()[0] == "5 rabbit < TimerFired t"
    assert lines.decode().splitlines()[-1] == "6 rabbit * crashes"
    assert hashlib.blake2b(lines, digest_size=16).hexdigest() == trace.hash


def test_without_keep_there_is_a_tail_and_the_same_hash() -> None:
    kept, unkept = Trace(keep=True), Trace()
    for number in range(1000):
        for trace in (kept, unkept):
            trace.note(number, "h", "x")
    assert kept.hash == unkept.hash
    assert (kept.is_kept, unkept.is_kept) == (True, False)
    assert unkept.tail().endswith("999 h * x\n")
    assert len(unkept.tail()) < len(kept.text())
    with pytest.raises(ValueError, match="keep_trace"):
        unkept.text()
