"""`rabbitry rebalance`: what the coordinator is asked, what is said, and what if it takes long."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, cast

import pytest
from support.restarting_nodes import Play

from rabbitry.runtime import rebalancing
from rabbitry.runtime.control_server import Asker
from rabbitry.runtime.errors import UserError
from rabbitry.runtime.rebalancing import Outcome, handed_over, rebalance

Run = Callable[[Coroutine[Any, Any, Any]], Any]


def answer(led: list[int], *moved: tuple[str, str, int], **kept: int) -> dict[str, Any]:
    """Return what the coordinator says of nodes a, b, ... that lead so many."""
    told = [{"from": giver, "to": taker, "queues": count} for giver, taker, count in moved]
    return {"moved": told, "kept": kept, "led": dict(zip("abc", led, strict=False))}


WELL = answer([2, 2], ("a", "b", 2))


def ended(
    led: list[int], *, moved: bool = True, kept: bool = False, away: str = "", left: str = ""
) -> list[str]:
    counts = dict(zip("abc", led, strict=False))
    return Outcome(counts, moved, kept, list(away), list(left)).lines("it again")


def test_what_is_said_of_who_gave() -> None:
    assert handed_over(answer([4, 4, 4], ("a", "b", 2), ("a", "c", 1), ("b", "c", 1))) == [
        "a: 3 queues handed over (b 2, c 1)",
        "b: 1 queue handed over (c 1)",
    ]
    assert handed_over(answer([3, 0], a=2)) == [
        "a: 2 queues kept: what was on its way did not settle in time"
    ]


def test_what_is_said_at_the_end() -> None:
    assert ended([4, 4, 4]) == ["each node leads 4 now"]
    assert ended([5, 4, 4]) == ["a leads 5, b leads 4, c leads 4 now"]
    assert ended([2, 2], moved=False) == ["nothing to do: each node leads 2"]
    assert ended([2], moved=False) == ["nothing to do: a leads 2"]
    assert ended([3, 0], moved=False) == [
        "nothing to do: a leads 3, b leads 0; no more can move: nobody who leads two fewer is in "
        "sync, and has room on its disk"
    ]
    assert ended([3, 0], moved=False, kept=True) == ["a leads 3, b leads 0 now"]


def test_each_node_is_all_of_them() -> None:
    assert ended([2, 2], away="c", moved=False) == [
        "nothing moved: a leads 2, b leads 2",
        "c is not in the cluster: run it again when it is back",
    ]
    assert ended([2, 2, 0], away="c") == [
        "a leads 2, b leads 2, c leads 0 now",
        "c is not in the cluster: run it again when it is back",
    ], "it is stopped, and has not been missed yet"


def test_who_left_meanwhile_is_named() -> None:
    assert ended([3, 3], away="c", left="c") == [
        "a leads 3, b leads 3 now",
        "c left the cluster meanwhile: run it again when it is back",
    ]
    assert ended([2, 2, 2], moved=False, left="b") == [
        "each node leads 2 now",
        "b left the cluster meanwhile, and is back",
    ]


class Asked(Play):
    """Two nodes, and a coordinator that answers this, when `may_answer` is set."""

    def __init__(self, tmp_path: Path, answer: dict[str, Any]) -> None:
        super().__init__(tmp_path)
        self.answer = answer
        self.may_answer = asyncio.Event()
        self.led: list[dict[str, int]] = []  # one after another, else as it was answered
        self.left: list[dict[str, int]] = []  # one after another

    async def ask(self, question: Any) -> Any:
        if question == "leads":
            led = self.led.pop(0) if self.led else self.answer.get("led", {})
            return {"led": led, "left": self.left.pop(0) if self.left else {}}
        self.asked.append(question)
        await self.may_answer.wait()
        return self.answer

    async def rebalance(self, patience_s: float = 20) -> dict[str, Any]:
        await asyncio.gather(*(node.joined.wait() for node in self.nodes.values()))
        return await rebalance(self.ask, self.nodes, cast(Asker, self), patience_s)


def playing(run: Run, tmp_path: Path, test: Callable[[Asked], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        play = Asked(tmp_path, WELL)
        try:
            await test(play)
        finally:
            await play.end()

    run(main())


def test_it_is_asked_and_told(run: Run, tmp_path: Path) -> None:
    async def test(play: Asked) -> None:
        play.may_answer.set()
        assert await play.rebalance() == {"moved": WELL["moved"], "led": {"a": 2, "b": 2}}
        assert play.asked == [("rebalance", [])]
        assert play.lines == ["a: 2 queues handed over (b 2)", "each node leads 2 now"]

    playing(run, tmp_path, test)


def test_who_cannot_take_part_is_named(run: Run, tmp_path: Path) -> None:
    async def test(play: Asked) -> None:
        play.may_answer.set()
        await asyncio.gather(*(node.joined.wait() for node in play.nodes.values()))
        play.nodes["a"].child.signal(signal.SIGSTOP)
        while not play.nodes["a"].child.stopped:  # noqa: ASYNC110  (nobody tells)
            await asyncio.sleep(0)
        play.nodes["b"].joined.clear()
        await rebalance(play.ask, play.nodes, cast(Asker, play))
        assert play.asked == [("rebalance", ["a", "b"])]
        assert play.lines[-2:] == [
            "a is not in the cluster: run it again when it is back",
            "b is not in the cluster: run it again when it is back",
        ]
        play.nodes["a"].child.signal(signal.SIGCONT)

    playing(run, tmp_path, test)


def test_refusals_and_a_cluster_without_nodes(run: Run, tmp_path: Path) -> None:
    async def test(play: Asked) -> None:
        play.may_answer.set()
        play.answer = {"refused": "the catalog cannot be written (full)"}
        with pytest.raises(UserError, match=r"written \(full\); nothing was handed over"):
            await play.rebalance()
        play.answer = answer([])
        with pytest.raises(UserError, match="no node is in the cluster"):
            await play.rebalance()
        assert play.lines == []

    playing(run, tmp_path, test)


def test_that_it_is_waited_is_told(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rebalancing, "TELL_S", 0.001)

    async def test(play: Asked) -> None:
        play.on_line = lambda line: play.may_answer.set()
        await play.rebalance()
        assert play.lines[0] == "waiting until every node knows who leads"
        assert play.lines[-1] == "each node leads 2 now"

    playing(run, tmp_path, test)


def test_it_is_not_waited_for_ever_nor_for_nobody(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rebalancing, "TELL_S", 0.001)

    async def test(play: Asked) -> None:
        with pytest.raises(UserError, match=r"not every node has heard within 0\.01 s"):
            await play.rebalance(0.01)
        play.gone_after = len(play.lines)
        assert await play.rebalance() == {}

    playing(run, tmp_path, test)


def test_when_a_node_left_meanwhile_it_is_done_again(run: Run, tmp_path: Path) -> None:
    async def test(play: Asked) -> None:
        play.may_answer.set()
        play.left = [{"b": 1}, {"b": 2}, {"b": 2}]
        done = await play.rebalance()
        assert play.asked == [("rebalance", [])] * 2
        assert done["moved"] == WELL["moved"] * 2
        assert play.lines == [
            "a: 2 queues handed over (b 2)",
            "a: 2 queues handed over (b 2)",
            "each node leads 2 now",
            "b left the cluster meanwhile, and is back",
        ]

    playing(run, tmp_path, test)


def test_nodes_that_keep_leaving_do_not_keep_it_going(run: Run, tmp_path: Path) -> None:
    async def test(play: Asked) -> None:
        play.may_answer.set()
        play.left = [{"b": number} for number in range(20)]
        await play.rebalance()
        assert play.asked == [("rebalance", [])] * rebalancing.ROUNDS_MAX

    playing(run, tmp_path, test)


def test_the_figures_are_those_of_the_end(run: Run, tmp_path: Path) -> None:
    async def test(play: Asked) -> None:
        play.may_answer.set()
        play.led = [{"a": 4, "b": 0}, {"a": 4}, {"a": 4}]
        play.left = [{}, {"b": 1}, {"b": 1}]
        await play.rebalance()
        assert play.lines[-2:] == [
            "a leads 4 now",
            "b left the cluster meanwhile: run it again when it is back",
        ]

    playing(run, tmp_path, test)


def test_who_is_back_meanwhile_takes_part(run: Run, tmp_path: Path) -> None:
    async def test(play: Asked) -> None:
        await asyncio.gather(*(node.joined.wait() for node in play.nodes.values()))
        play.nodes["b"].joined.clear()
        asked = asyncio.create_task(rebalance(play.ask, play.nodes, cast(Asker, play)))
        while not play.asked:  # noqa: ASYNC110  (nobody tells)
            await asyncio.sleep(0)
        play.nodes["b"].joined.set()
        play.may_answer.set()
        await asked
        assert play.asked == [("rebalance", ["b"]), ("rebalance", [])]
        assert play.lines[-1] == "each node leads 2 now"

    playing(run, tmp_path, test)


def test_refused_after_something_was_moved(run: Run, tmp_path: Path) -> None:
    async def test(play: Asked) -> None:
        play.may_answer.set()
        play.left = [{}, {"b": 1}]

        def refuse(line: str) -> None:
            play.answer = {"refused": "the catalog cannot be written"}

        play.on_line = refuse
        with pytest.raises(UserError, match="nothing more was handed over"):
            await play.rebalance()
        assert play.lines == ["a: 2 queues handed over (b 2)"]

    playing(run, tmp_path, test)
