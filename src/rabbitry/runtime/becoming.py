"""How the workers of a balancer become the user that its first process has become.

Owns who is asked and what is waited for: `user` and `group` of `global` are for all processes, and
nobody is served before all of them are that user. What becoming is, is `privileges`'s.

Invariants: a worker that is started later is asked too, before it is given anything to listen on;
the first process becomes that user right behind the others. (docs/decisions/0148, 0162)
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Protocol

from rabbitry.runtime.hand_messages import Become
from rabbitry.runtime.privileges import Identity, PrivilegesFailed

PATIENCE_S = 30.0
"""How long workers have to answer: they may be loading their program still."""


class Asked(Protocol):
    """A worker that takes messages in order."""

    @property
    def send(self) -> Any:
        """Say something to it."""
        ...


class Becoming:
    """Whom workers are to become, and which have not answered."""

    def __init__(self) -> None:
        self._wanted: Become | None = None
        self._answers: dict[Asked, asyncio.Future[str]] = {}

    def started(self, worker: Asked) -> None:
        """A worker has been started: it becomes whom the others have become."""
        if self._wanted is not None:
            worker.send(self._wanted)

    async def become(self, identity: Identity, workers: Sequence[Asked]) -> None:
        """Have these become somebody; return when all have.

        Raises `PrivilegesFailed` if one cannot, dies, or does not answer in `PATIENCE_S`.
        """
        self._wanted = Become(identity.uid, identity.gid, identity.name)
        loop = asyncio.get_running_loop()
        self._answers = {worker: loop.create_future() for worker in workers}
        for worker in workers:
            worker.send(self._wanted)
        try:
            async with asyncio.timeout(PATIENCE_S):
                failures = await asyncio.gather(*self._answers.values())
        except TimeoutError:
            failures = [f"a worker process does not become {identity.name}: it does not answer"]
        self._answers = {}
        for failure in failures:
            if failure:
                raise PrivilegesFailed(failure)

    def answered(self, worker: Asked, failure: str) -> None:
        """A worker has become whom it was to, or (`failure`) it cannot."""
        answer = self._answers.get(worker)
        if answer is not None and not answer.done():
            answer.set_result(failure)
