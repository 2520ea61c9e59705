"""What is told of nodes that lack something; and that no stranger keeps anybody from hearing it."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from support.coordination_stage import Stage

from rabbitry.balancer.checking.agents import read
from rabbitry.balancer.checking.results import INFO_SIZE_MAX
from rabbitry.cluster.annals import RETRY_US
from rabbitry.cluster.records import DeclareQueue, Followed
from rabbitry.machine import Address, Report
from rabbitry.runtime import alarm_agents
from rabbitry.runtime.alarm_agents import AlarmAgents, Telling, Troubles
from rabbitry.runtime.listeners import ListenFailed

Run = Callable[[Coroutine[Any, Any, Any]], Any]


def told_of(stage: Stage, node: str) -> str:
    """Return what is said of a node after all that the coordinator has reported."""
    troubles = Troubles()
    for report in stage.reports:
        troubles.heard(report)
    return troubles.line(node).decode()


def test_a_node_that_lacks_nothing_is_up() -> None:
    assert told_of(Stage("a"), "a") == "up\n"


def test_alarms_of_a_node_are_told_until_they_are_over() -> None:
    stage = Stage("a", "b")
    a, b = stage.join("a"), stage.join("b")
    b.send(Followed(b.revision, ("disk", "memory")))
    assert told_of(stage, "a") == "up\n"
    assert told_of(stage, "b") == "up # low on disk & memory: publishers wait\n"
    b.send(Followed(b.revision, ("memory",)))
    a.beat()
    assert told_of(stage, "b") == "up # low on memory: publishers wait\n"
    b.beat()
    assert told_of(stage, "b") == "up\n"


def test_of_a_node_that_has_left_nothing_is_told() -> None:
    stage = Stage("a", "b")
    b = stage.join("b")
    b.send(Followed(b.revision, ("disk",)))
    stage.lose_link("b")
    assert told_of(stage, "b") == "up\n"


def test_a_catalog_that_cannot_be_written_concerns_every_node() -> None:
    stage = Stage("a", "b")
    stage.join("a")
    stage.commits_wait = True
    stage.nodes["a"].ask(DeclareQueue("/", "q", True, False, "", b""))
    stage.fail()
    assert told_of(stage, "b") == "up # the catalog cannot be written: declarations wait\n"
    stage.wait(RETRY_US, "a")
    stage.commit_one()
    assert told_of(stage, "b") == "up\n"


def test_all_of_it_is_understood_and_not_cut() -> None:
    troubles = Troubles()
    troubles.heard(Report("info", "alarms of node", {"node": "a", "alarms": ["disk", "memory"]}))
    what = "the catalog cannot be written: declarations and failovers wait"
    troubles.heard(Report("error", what, {"reason": "disk full"}))
    reply = read(troubles.line("a").decode().rstrip("\n"))
    assert (reply.health, reply.administration, reply.unknown) == ("up", "", "")
    assert (reply.weight, reply.maxconn) == (None, None)
    assert reply.description == (
        "low on disk & memory: publishers wait; the catalog cannot be written: declarations wait"
    )
    info = reply.result().info
    assert info == f"via agent : up ({reply.description})"
    assert len(info) < INFO_SIZE_MAX


# --- for people -----------------------------------------------------------------------------------


def alarm(node: str, *alarms: str) -> Report:
    return Report("info", "alarms of node", {"node": node, "alarms": list(alarms)})


def test_words_for_people_name_who_is_low_on_what() -> None:
    troubles = Troubles()
    assert (troubles.alarms, troubles.catalog) == ("", "")
    troubles.heard(alarm("b", "disk"))
    assert troubles.alarms == "b is low on disk: publishers wait, on all nodes"
    troubles.heard(alarm("a", "disk"))
    troubles.heard(alarm("c", "memory"))
    assert troubles.alarms == (
        "a, b are low on disk and c is low on memory: publishers wait, on all nodes"
    )
    for node in "abc":
        troubles.heard(alarm(node))
    assert troubles.alarms == ""
    what = "the catalog cannot be written: declarations and failovers wait"
    troubles.heard(Report("error", what, {"reason": "disk full"}))
    assert troubles.catalog == (
        "the catalog cannot be written: declarations wait, and so do failovers"
    )
    troubles.heard(Report("warning", "the catalog can be written again"))
    assert troubles.catalog == ""


class Told:
    """What is told, and when something is."""

    def __init__(self) -> None:
        self.words = ""
        self.lines: asyncio.Queue[str] = asyncio.Queue()
        self.telling = Telling(lambda: self.words, "all is well", self.lines.put_nowait)

    def become(self, words: str) -> None:
        self.words = words
        self.telling.look()


def test_several_changes_at_once_are_one_line_and_the_end_is_another(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alarm_agents, "SETTLE_S", 0)

    async def main() -> None:
        told = Told()
        told.become("a is low")
        told.become("a, b are low")
        assert await told.lines.get() == "a, b are low"
        told.telling.look()
        told.become("a is low")
        assert await told.lines.get() == "a is low"
        told.become("")
        assert await told.lines.get() == "all is well"
        told.become("a is low")
        told.become("")
        told.become("b is low")
        assert await told.lines.get() == "b is low", "what came and went at once is no line"
        told.become("")
        told.telling.close()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert told.lines.empty()

    run(main())


# --- the ports ------------------------------------------------------------------------------------


async def asked(place: Address, say: bytes = b"") -> bytes:
    """Ask an agent, as HAProxy does if nothing is said."""
    reader, writer = await asyncio.open_connection(place.host, place.port)
    writer.write(say)
    try:
        return await reader.read()
    finally:
        writer.close()


def test_each_node_has_a_port_and_is_told_as_it_is_now(run: Run) -> None:
    lines = {"a": b"up\n", "b": b"up # low on disk\n"}

    async def main() -> None:
        agents = AlarmAgents(lines.__getitem__)
        places = await agents.open("127.0.0.1", lines)
        assert list(places) == ["a", "b"]
        assert [await asked(place) for place in places.values()] == list(lines.values())
        lines["a"] = b"up # low on memory\n"
        assert await asked(places["a"]) == lines["a"]
        agents.close()
        with pytest.raises(ConnectionRefusedError):
            await asked(places["a"])

    run(main())


def test_strangers_hold_nothing_and_keep_nobody(run: Run) -> None:
    """Long lines, silence, hundreds at once, resets: each gets the line, and its end."""

    def open_files() -> int:
        return len(os.listdir("/proc/self/fd"))

    async def main() -> None:
        agents = AlarmAgents(lambda node: b"up\n")
        place = (await agents.open("127.0.0.1", ["a"]))["a"]
        before = open_files()
        silent = [await asyncio.open_connection(place.host, place.port) for _ in range(300)]
        for _, writer in silent[:100]:
            writer.write(b"x" * 1_000_000)
        for _, writer in silent[100:200]:
            writer.transport.abort()
        assert await asked(place) == b"up\n"
        for reader, _ in silent[200:]:
            assert await reader.read() == b"up\n"
        for reader, writer in silent:
            with contextlib.suppress(OSError):  # what it had sent was thrown away
                await reader.read()
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
        assert await asked(place, b"rabbit\n") in (b"up\n", b"")
        assert await asked(place) == b"up\n"
        assert open_files() <= before + 1
        agents.close()

    run(main())


def test_a_host_that_cannot_be_listened_on_is_said(run: Run) -> None:
    async def main() -> None:
        agents = AlarmAgents(lambda node: b"up\n")
        with pytest.raises(ListenFailed, match=r"^cannot listen on 192\.0\.2\.1: "):
            await agents.open("192.0.2.1", ["a"])

    run(main())
