"""Workers are asked to become somebody, and waited for. `test_crew` has the same with processes."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from rabbitry.runtime import becoming
from rabbitry.runtime.becoming import Becoming
from rabbitry.runtime.hand_messages import Become
from rabbitry.runtime.privileges import Identity, PrivilegesFailed

WHO = Identity(12, 34, "user a and group b")


class Worker:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.send = self.told.append


async def asked(*answers: str) -> tuple[Becoming, asyncio.Task[None]]:
    """So many workers are asked, and these have answered."""
    it = Becoming()
    workers = [Worker(), Worker()]
    task = asyncio.ensure_future(it.become(WHO, workers))
    await asyncio.sleep(0)
    assert [worker.told for worker in workers] == [[Become(12, 34, WHO.name)]] * 2
    for worker, answer in zip(workers, answers, strict=False):
        it.answered(worker, answer)
        it.answered(worker, "it has died")  # afterwards: that is told elsewhere
    return it, task


def test_all_are_waited_for() -> None:
    async def main() -> None:
        it, task = await asked("", "")
        await task
        later = Worker()
        it.started(later)
        assert later.told == [Become(12, 34, WHO.name)]
        it.answered(later, "")

    asyncio.run(main())


def test_one_that_cannot_fails_all() -> None:
    async def main() -> None:
        _, task = await asked("", "cannot become user a: no")
        with pytest.raises(PrivilegesFailed, match=r"^cannot become user a: no$"):
            await task

    asyncio.run(main())


def test_one_that_does_not_answer_is_not_waited_for_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(becoming, "PATIENCE_S", 0.01)

    async def main() -> None:
        _, task = await asked("")
        with pytest.raises(PrivilegesFailed, match="become user a and group b: it does not answer"):
            await task

    asyncio.run(main())


def test_who_becomes_nobody_asks_nobody() -> None:
    worker = Worker()
    Becoming().started(worker)
    assert worker.told == []
