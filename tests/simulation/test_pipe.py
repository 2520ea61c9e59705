"""One direction of a link: order whatever the cuts, one end mark, nothing behind it."""

from __future__ import annotations

import pytest

from rabbitry.simulation.pipe import LinkWeather, Mark, Pipe
from rabbitry.simulation.schedule import Schedule


class Ends:
    """Both ends of a pipe under test."""

    def __init__(self) -> None:
        self.blocked = False
        self.refuses = False
        self.pieces: list[bytes] = []
        self.marks: list[tuple[Mark, str]] = []
        self.refusals_count = 0

    def obstacle(self) -> bool:
        return self.blocked

    def take_bytes(self, data: bytes) -> bool:
        assert not self.marks, "bytes behind the end mark"
        if not self.refuses:
            self.pieces.append(data)
        return not self.refuses

    def take_mark(self, mark: Mark, reason: str) -> None:
        self.marks.append((mark, reason))

    def drained(self) -> None:
        pass

    def refused(self) -> None:
        self.refusals_count += 1


def make(seed: int, cut_probability: float = 0.5) -> tuple[Schedule, Pipe, Ends]:
    schedule = Schedule(seed)
    weather = LinkWeather(cut_probability=cut_probability)
    pipe = Pipe(schedule, schedule.random("network"), weather, 100)
    ends = Ends()
    pipe.sender = pipe.receiver = ends
    return schedule, pipe, ends


DATA = [bytes([n % 251]) * (n % 7 + 1) for n in range(300)]


def test_bytes_arrive_in_order_cut_otherwise_than_sent() -> None:
    schedule, pipe, ends = make(3)
    for n, data in enumerate(DATA):
        schedule.at(n * 20, pipe.send, data)
    schedule.at(300 * 20, pipe.finish)
    schedule.run_until(10_000_000)
    assert b"".join(ends.pieces) == b"".join(DATA)
    assert ends.marks == [(Mark.FINISH, "")]
    assert any(piece not in DATA for piece in ends.pieces)
    assert pipe.waiting_bytes == 0


def test_a_break_lets_an_arbitrary_prefix_through() -> None:
    lengths = set()
    for seed in range(60):
        schedule, pipe, ends = make(seed)
        pipe.send(b"0123456789")
        pipe.send(b"abcdefghij")
        pipe.finish()
        pipe.break_off("reset")
        pipe.send(b"never")
        schedule.run_until(1_000_000)
        got = b"".join(ends.pieces)
        assert b"0123456789abcdefghij".startswith(got)
        assert ends.marks == [(Mark.BREAK, "reset")]
        lengths.add(len(got))
    assert len(lengths) > 10, "the prefix hardly varies"


def test_an_obstacle_holds_everything_until_woken() -> None:
    schedule, pipe, ends = make(1)
    ends.blocked = True
    pipe.send(b"data")
    pipe.finish()
    schedule.run_until(1_000_000)
    assert not ends.pieces and not ends.marks
    assert pipe.waiting_bytes == 4
    ends.blocked = False
    pipe.wake()
    schedule.run_until(2_000_000)
    assert b"".join(ends.pieces) == b"data"
    assert ends.marks == [(Mark.FINISH, "")]


def test_a_stall_ends_by_itself() -> None:
    schedule, pipe, ends = make(1)
    pipe.stall(500_000)
    pipe.send(b"data")
    schedule.run_until(499_999)
    assert not ends.pieces
    schedule.run_until(500_000)
    assert b"".join(ends.pieces) == b"data"


@pytest.mark.parametrize("cut_probability", [0.0, 1.0])
def test_a_refusal_is_told_once_and_the_rest_vanishes(cut_probability: float) -> None:
    schedule, pipe, ends = make(1, cut_probability)
    ends.refuses = True
    for data in DATA:
        pipe.send(data)
    schedule.run_until(1_000_000)
    assert ends.refusals_count == 1
    assert pipe.ended and pipe.waiting_bytes == 0


def test_cut_short_arrives_in_part_and_never_ends() -> None:
    schedule, pipe, ends = make(5)
    pipe.send(b"x" * 1000)
    pipe.cut_short()
    pipe.finish()
    schedule.run_until(1_000_000)
    assert len(b"".join(ends.pieces)) < 1000
    assert not ends.marks
