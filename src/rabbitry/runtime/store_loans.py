"""Values that lie in the store itself, lent to whoever asked for them, and given back.

A value that is read is copied once: out of the store's map into what the machine makes of it. Until
then the reader's transaction has to last, and the map has to stay where it is. So values are lent:
`take` is called with them on the event loop, and when it returns, they are taken away. Whoever kept
one gets a ValueError when he looks at it.

Loans are made on a thread that reads, and end on the event loop: one at a time as they are taken,
all of them before the store is closed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import Future

from rabbitry.runtime.store import Take, Values


class Loan:
    """Values that are good until `end`. `ended` is called then."""

    def __init__(self, values: Values, ended: Callable[[], None] = lambda: None) -> None:
        self.values = values
        self._ended = ended

    def end(self) -> None:
        """Take the values away."""
        for value in self.values:
            if isinstance(value, memoryview):
                value.release()
        self._ended()


class Loans:
    """Those of one store. Used on the event loop."""

    def __init__(self) -> None:
        self._expected: dict[Future[Loan], None] = {}

    def lend(self, reading: Future[Loan], take: Take) -> Awaitable[None]:
        """Call `take` when it has been read; whoever ceases to wait for that does not end it."""
        self._expected[reading] = None
        return asyncio.shield(asyncio.ensure_future(self._hand_over(reading, take)))

    async def _hand_over(self, reading: Future[Loan], take: Take) -> None:
        try:
            loan = await asyncio.wrap_future(reading)
        finally:
            closed = reading not in self._expected
            self._expected.pop(reading, None)
        if closed:
            return
        try:
            take(loan.values)
        finally:
            loan.end()

    def end(self) -> None:
        """End all loans. Nothing may be read any more."""
        while self._expected:
            reading, _ = self._expected.popitem()
            if reading.exception() is None:
                reading.result().end()
