"""How the workers of a balancer begin to use renewed certificates.

Owns who is asked and what is waited for: a reload is answered when all processes begin new links
with what the files hold then, and listen where the new configuration says (messages are carried out
in order). What is renewed is the hand's.

Invariants: a worker that hangs is waited for until it is killed, at most `PATIENCE_S`; one that is
started later reads the files by itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from rabbitry.runtime.becoming import Asked
from rabbitry.runtime.hand_messages import Renew

PATIENCE_S = 10.0
"""How long workers have to answer."""


class Renewing:
    """Which workers have not answered yet."""

    def __init__(self) -> None:
        self._answers: dict[Asked, asyncio.Future[None]] = {}

    async def renew(self, workers: Sequence[Asked]) -> None:
        """Have these use renewed certificates; return when all do. One at a time."""
        loop = asyncio.get_running_loop()
        self._answers = {worker: loop.create_future() for worker in workers}
        for worker in workers:
            worker.send(Renew())
        if self._answers:
            await asyncio.wait(self._answers.values(), timeout=PATIENCE_S)

    def answered(self, worker: Asked) -> None:
        """A worker does, or is gone."""
        answer = self._answers.get(worker)
        if answer is not None and not answer.done():
            answer.set_result(None)
