"""No node is restarted while a disk is in trouble, and trouble that comes meanwhile is named."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from support.restarting_nodes import Play

from rabbitry.runtime import rolling_restart
from rabbitry.runtime.errors import UserError

Run = Callable[[Coroutine[Any, Any, Any]], Any]


@pytest.mark.parametrize(
    ("alarms", "catalog_trouble", "words"),
    [
        ({"b": ["memory", "disk"]}, "", "b is low on disk"),
        ({"a": ["disk"], "b": ["disk"]}, "", "a, b are low on disk"),
        ({}, "no room", "the catalog cannot be written (no room)"),
        ({"a": ["disk"]}, "full", "a is low on disk and the catalog cannot be written (full)"),
    ],
)
def test_nothing_is_begun_while_a_disk_is_in_trouble(
    run: Run, tmp_path: Path, alarms: dict[str, list[str]], catalog_trouble: str, words: str
) -> None:
    async def main() -> None:
        play = Play(tmp_path)
        play.alarms, play.catalog_trouble = alarms, catalog_trouble
        before = play.nodes["a"].pid
        with pytest.raises(UserError) as caught:
            await play.restart("a")
        assert (str(caught.value), caught.value.exit_code) == (
            f"{words}: a node that restarts could not write what it has missed, and would not be "
            "in sync again; make room first, `rabbitry status` shows when it is over",
            1,
        )
        assert (play.lines, play.asked, play.nodes["a"].pid) == ([], [], before)
        await play.end()

    run(main())


def test_a_node_that_is_low_on_memory_only_is_restarted(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        play = Play(tmp_path)
        play.alarms = {"a": ["memory"]}
        assert await play.restart("a") == ["a"]
        await play.end()

    run(main())


def test_trouble_that_comes_meanwhile_ends_it_before_the_next(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        play = Play(tmp_path)
        before = play.nodes["b"].pid

        def fill(line: str) -> None:
            if line == "a: in sync":
                play.alarms = {"a": ["disk"]}

        play.on_line = fill
        with pytest.raises(UserError, match=r"a is low on disk: .*; nothing more was restarted"):
            await play.restart("a", "b")
        assert play.nodes["b"].pid == before
        assert not any(line.startswith("b:") for line in play.lines)
        await play.end()

    run(main())


def test_trouble_that_comes_while_it_waits_is_named_at_once_and_when_it_gives_up(
    run: Run, tmp_path: Path
) -> None:
    async def main() -> None:
        play = Play(tmp_path)
        play.lags_when_back = True

        def fill(line: str) -> None:
            if line.startswith("a: started"):
                play.alarms = {"a": ["disk"]}

        play.on_line = fill
        waits = "a: {} until its replicas are in sync again: queue 'q' in '/'; a is low on disk: "
        waits += "make room, and it goes on"
        with pytest.raises(UserError) as caught:
            await play.restart("a", timeout_s=1)
        assert play.lines[-1] == waits.format("waiting")
        assert str(caught.value).startswith(waits.format("waited 1 s in vain") + "; nothing more")
        await play.end()

    run(main())


def test_the_log_has_a_wait_once_and_the_terminal_again_and_again(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(rolling_restart, "TELL_S", 0)
    monkeypatch.setattr(rolling_restart, "AGAIN_S", 0)
    caplog.set_level("INFO", "rabbitry")

    async def main() -> None:
        play = Play(tmp_path)
        play.lags_when_back = True

        def well(line: str) -> None:
            if play.lines.count(line) == 4:
                play.queues = []

        play.on_line = well
        assert await play.restart("a") == ["a"]
        waiting = "a: waiting until its replicas are in sync again: queue 'q' in '/'"
        assert play.lines.count(waiting) == 4
        assert caplog.messages.count(f"restart {waiting}") == 1
        await play.end()

    run(main())


def test_the_terminal_has_another_reason_soon_and_the_same_seldom(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rolling_restart, "TELL_S", 0)
    monkeypatch.setattr(rolling_restart, "LOOK_S", 0)
    looks = 0
    behind = rolling_restart.behind

    async def main() -> None:
        play = Play(tmp_path)
        play.lags_when_back = True

        def look(queues: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
            nonlocal looks
            looks += 1
            if looks == 10:
                play.queues = [{**one, "name": "r"} for one in play.queues]
            if looks == 20:
                play.queues = []
            return behind(queues, name)

        monkeypatch.setattr(rolling_restart, "behind", look)
        assert await play.restart("a") == ["a"]
        assert [line for line in play.lines if "waiting" in line] == [
            f"a: waiting until its replicas are in sync again: queue '{name}' in '/'"
            for name in "qr"
        ]
        await play.end()

    run(main())
