"""What is told of damaged stores: once when all is fetched again, and before if that takes long."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from rabbitry.machine import Report
from rabbitry.runtime import healing
from rabbitry.runtime.driver import DriverStopped
from rabbitry.runtime.healing import Healing, HealingWatch, Queue

Run = Callable[[Coroutine[Any, Any, Any]], Any]


def queue(name: str, leader: str, mirrors: str, in_sync: str, waits: str = "") -> Queue:
    return {
        "vhost": "/",
        "name": name,
        "exclusive": False,
        "leader": leader,
        "mirrors": list(mirrors),
        "in_sync": list(in_sync),
        "waits": waits,
    }


def damaged(node: str, name: str) -> Report:
    details = {"node": node, "queue": name, "virtual_host": "/"}
    return Report("error", "replica is damaged", details)


def other_store(node: str) -> Report:
    return Report("error", "node has another store: what it had is lost", {"node": node})


def lost(name: str) -> Report:
    details = {"queue": name, "virtual_host": "/"}
    return Report("error", "queue has lost all replicas that held everything", details)


def heard(*reports: Report) -> Healing:
    found = Healing(lambda name: Path(f"/log/{name}.log"))
    for report in reports:
        found.heard(report)
    return found


STORE = "a: its store was damaged or is another one (see /log/a.log)"


def test_other_reports_are_of_no_concern() -> None:
    assert not heard(Report("info", "node joined", {"node": "a"})).pending


def test_what_is_mended_at_once_is_one_line() -> None:
    found = heard(damaged("a", "q"), damaged("a", "r"))
    assert found.pending
    whole = [queue("q", "b", "a", "ba"), queue("r", "b", "a", "ba")]
    assert found.look(whole) == [
        "a: queue 'q' in '/' and 1 more, damaged in its store: fetched from mirrors"
    ]
    assert not found.pending


def test_what_takes_long_is_told_before_and_once() -> None:
    found = heard(damaged("a", "q"), damaged("b", "r"))
    lags = [queue("q", "b", "a", "b"), queue("r", "a", "b", "ab")]
    assert found.look(lags) == [
        "a: damage in its store: fetching queue 'q' in '/' from mirrors",
        "b: queue 'r' in '/', damaged in its store: fetched from mirrors",
    ]
    assert found.look(lags) == []
    assert found.pending
    assert found.look([queue("q", "b", "a", "ba")]) == [
        "a: queue 'q' in '/', damaged in its store: fetched from mirrors"
    ]
    assert not found.pending


def test_what_waits_is_not_said_to_be_fetched() -> None:
    found = heard(damaged("a", "q"))
    waits = queue("q", "", "a", "", "damaged on a; waits for b")
    waits["mirrors"] = ["a", "b"]
    assert found.look([waits]) == [
        "a: damage in its store: queue 'q' in '/': damaged on a; waits for b; `rabbitry status`"
    ]
    assert found.look([]) == []
    assert not found.pending, "it was deleted"


def test_a_whole_store_is_told_by_all_that_its_node_is_to_have() -> None:
    found = heard(other_store("a"))
    exclusive = queue("e", "a", "", "a") | {"exclusive": True}
    others = [queue("b's", "b", "c", "bc"), queue("alone", "a", "", "a"), exclusive]
    assert found.look([queue("q", "b", "a", "b"), queue("r", "b", "a", "ba"), *others]) == [
        f"{STORE}: fetching queue 'q' in '/' from mirrors"
    ]
    assert found.look([queue("q", "b", "a", "ba"), queue("r", "b", "a", "ba"), *others]) == [
        f"{STORE}: fetched queue 'q' in '/' and 1 more from its mirrors"
    ]
    assert not found.pending


def test_a_store_of_nothing_that_others_have() -> None:
    found = heard(other_store("a"))
    assert found.look([queue("alone", "a", "", "a")]) == [
        f"{STORE}: nothing to fetch from its mirrors"
    ]
    assert not found.pending


def test_what_is_lost_is_said_and_never_called_fetched() -> None:
    found = heard(other_store("a"), lost("q"), damaged("b", "r"), lost("r"))
    assert found.look([queue("q", "a", "b", "ab"), queue("r", "b", "a", "ab")]) == [
        "queue 'q' in '/' and 1 more lost all replicas that held everything, and go on with what "
        "is left; `rabbitry status`",
        f"{STORE}: nothing to fetch from its mirrors",
    ]
    assert not found.pending
    found.heard(damaged("a", "q"))
    assert found.look([queue("q", "b", "a", "ab")]), "it was lost another time"


def test_it_is_looked_until_there_is_no_more(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(healing, "FIRST_LOOK_S", 0)

    async def main() -> None:
        asked = 0
        said: asyncio.Queue[str] = asyncio.Queue()

        async def ask(question: object) -> Any:
            nonlocal asked
            assert question == "status"
            asked += 1
            return {"queues": [queue("q", "b", "a", "b" if asked < 3 else "ba")]}

        watch = HealingWatch(heard(), ask, said.put_nowait)
        watch.heard(Report("info", "node joined", {"node": "a"}))
        await asyncio.sleep(0)
        assert asked == 0, "as long as there is nothing to look after"
        for number in (3, 4):
            watch.heard(damaged("a", "q"))
            if number == 3:
                assert "fetching" in await said.get()
            assert "fetched" in await said.get()
            assert asked == number
        watch.close()

    run(main())


def test_it_ends_with_the_coordinator_and_when_it_is_closed(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        asked = asyncio.Event()

        async def ask(question: object) -> Any:
            asked.set()
            raise DriverStopped

        said: list[str] = []
        watch = HealingWatch(heard(), ask, said.append)
        watch.close()
        monkeypatch.setattr(healing, "FIRST_LOOK_S", 0)
        watch.heard(damaged("a", "q"))
        await asked.wait()
        monkeypatch.setattr(healing, "FIRST_LOOK_S", 3600)
        await asyncio.sleep(0)
        watch.heard(damaged("a", "r"))
        watch.close()
        await asyncio.gather(
            *(asyncio.all_tasks() - {asyncio.current_task()}), return_exceptions=True
        )
        assert said == []

    run(main())
