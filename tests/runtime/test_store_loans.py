"""Values are good while they are taken, and no longer, whatever becomes of the store meanwhile."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future

import pytest
from support.toy_machine import Run

from rabbitry.runtime.store import Values
from rabbitry.runtime.store_loans import Loan, Loans


class Reading:
    """A value that is read by hand."""

    def __init__(self) -> None:
        self.future: Future[Loan] = Future()
        self.ended = 0
        self.values: Values = [memoryview(b"value"), None]

    def end(self) -> None:
        self.ended += 1

    def finish(self) -> None:
        self.future.set_result(Loan(self.values, self.end))


def test_values_are_taken_away_when_they_have_been_taken(run: Run) -> None:
    async def play() -> None:
        reading, seen = Reading(), list[Values]()

        def take(values: Values) -> None:
            assert (values, reading.ended) == ([b"value", None], 0)
            seen.append(values)

        done = Loans().lend(reading.future, take)
        reading.finish()
        await done
        assert reading.ended == 1
        with pytest.raises(ValueError, match="released"):
            bytes(seen[0][0])  # type: ignore[arg-type]

    run(play())


def test_a_taker_that_fails_keeps_nothing_and_is_told(run: Run) -> None:
    async def play() -> None:
        reading = Reading()

        def take(_: Values) -> None:
            raise KeyError("taker")

        done = Loans().lend(reading.future, take)
        reading.finish()
        with pytest.raises(KeyError, match="taker"):
            await done
        assert reading.ended == 1

    run(play())


def test_a_reading_that_fails_is_told(run: Run) -> None:
    async def play() -> None:
        loans, reading = Loans(), Reading()
        done = loans.lend(reading.future, lambda _: pytest.fail("there is nothing to take"))
        reading.future.set_exception(KeyError("reading"))
        with pytest.raises(KeyError, match="reading"):
            await done
        loans.end()

    run(play())


def test_at_the_end_nothing_is_taken_any_more(run: Run) -> None:
    async def play() -> None:
        loans, readings = Loans(), [Reading(), Reading()]
        done = [loans.lend(one.future, lambda _: pytest.fail("too late")) for one in readings]
        readings[0].finish()
        readings[1].future.set_exception(KeyError("reading"))
        loans.end()
        assert readings[0].ended == 1
        found = await asyncio.gather(*done, return_exceptions=True)
        assert [type(one) for one in found] == [type(None), KeyError]
        assert readings[0].ended == 1

    run(play())


def test_who_ceases_to_wait_does_not_keep_the_values(run: Run) -> None:
    async def play() -> None:
        reading = Reading()
        taken = asyncio.Event()
        waiting = asyncio.ensure_future(Loans().lend(reading.future, lambda _: taken.set()))
        await asyncio.sleep(0)
        waiting.cancel()
        reading.finish()
        await taken.wait()
        assert reading.ended == 1

    run(play())
