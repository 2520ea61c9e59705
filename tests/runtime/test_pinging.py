"""A worker process that stands still is ended and replaced; one that does so for a while is not."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Sequence
from typing import Any

import pytest
from support.relaying_machine import relaying
from support.toy_machine import Run

from rabbitry.machine import Address, LinkClosed, LinkOpened, LinksMeasured, MeasureLinks, Report
from rabbitry.runtime import pinging
from rabbitry.runtime.crew import Crew
from rabbitry.runtime.pinging import Pinging
from rabbitry.runtime.watchdog import CANNOT_KILL, HUNG, STARTED_AGAIN, Vigil


async def session_of_a_worker(
    hand: Crew, address: Address, server: socket.socket
) -> tuple[socket.socket, socket.socket]:
    """Return both ends of a session that this process has not accepted."""
    loop = asyncio.get_running_loop()
    hand._listeners["front"].pause()
    client = socket.socket()
    client.setblocking(False)
    await loop.sock_connect(client, (address.host, address.port))
    other, _ = await loop.sock_accept(server)
    return client, other


@pytest.mark.processes
def test_a_worker_that_hangs_is_killed_and_nobody_waits_for_its_figures(run: Run) -> None:
    reports: list[Report] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        hand = Crew(1)
        async with relaying(hand=hand) as (machine, driver, address, server):
            driver.reporters.append(reports.append)
            client, other = await session_of_a_worker(hand, address, server)
            await machine.saw(LinkOpened, 2)
            (worker,) = hand._alive()
            os.kill(worker.process.pid, signal.SIGSTOP)
            both = sorted(hand.links)
            await driver.ask([MeasureLinks([], 5), MeasureLinks(both, 6)])
            assert (await machine.saw(LinksMeasured)).number == 5
            assert worker.is_silent and not worker.is_killed
            await driver.ask([MeasureLinks([], 7)])
            assert machine.events[-1] == LinksMeasured([], 7), "it is known to be silent"
            # What a session itself asks is answered at the end alone: else it would not be judged.
            assert (await machine.saw(LinksMeasured, 3)).number == 6
            closed = [await machine.saw(LinkClosed), await machine.saw(LinkClosed, 2)]
            assert {event.link for event in closed} == set(both)
            assert worker.process.returncode == -signal.SIGKILL
            for sock in (client, other):
                assert await loop.sock_recv(sock, 1) == b""
                sock.close()
            client, other = await session_of_a_worker(hand, address, server)
            assert [report.what for report in reports] == [HUNG, STARTED_AGAIN]
            assert reports[0].details["pid"] == worker.process.pid
            client.close()
            other.close()

    run(main())


@pytest.mark.processes
def test_a_worker_that_was_silent_for_a_while_goes_on(run: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        hand = Crew(1)
        async with relaying(hand=hand) as (machine, driver, address, server):
            client, other = await session_of_a_worker(hand, address, server)
            await machine.saw(LinkOpened, 2)
            (worker,) = hand._alive()
            os.kill(worker.process.pid, signal.SIGSTOP)
            await driver.ask([MeasureLinks([], 5)])
            assert await machine.saw(LinksMeasured) == LinksMeasured([], 5)
            os.kill(worker.process.pid, signal.SIGCONT)
            await loop.sock_sendall(client, b"hello")
            assert await loop.sock_recv(other, 100) == b"hello"
            await driver.ask([MeasureLinks(sorted(hand.links), 6)])
            measured = await machine.saw(LinksMeasured, 2)  # its late answer to 5 is not told
            assert measured.number == 6 and len(measured.measures) == 2
            assert hand._alive() == [worker]
            client.close()
            other.close()

    run(main())


@pytest.mark.processes
def test_a_worker_is_asked_again_as_soon_as_anything_has_come_of_it(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else what it carries would be missing in all figures until the next round has begun."""
    monkeypatch.setattr(pinging, "PING_INTERVAL_S", 3600.0)  # rounds begin when the test says so

    async def main() -> None:
        hand = Crew(1)
        async with relaying(hand=hand) as (machine, driver, address, server):
            client, other = await session_of_a_worker(hand, address, server)
            await machine.saw(LinkOpened, 2)
            (worker,) = hand._alive()
            os.kill(worker.process.pid, signal.SIGSTOP)
            while not worker.is_silent:  # the first round hears of what came before
                hand._pinging.end()
                hand._pinging._begin_round()
            await driver.ask([MeasureLinks([], 5)])
            assert machine.events[-1] == LinksMeasured([], 5)
            os.kill(worker.process.pid, signal.SIGCONT)
            await driver.ask([MeasureLinks(sorted(hand.links), 6)])
            assert (await machine.saw(LinksMeasured, 2)).number == 6
            await driver.ask([MeasureLinks([], 7)])
            measured = await machine.saw(LinksMeasured, 3)
            assert {each.link for each in measured.measures} == set(hand.links)
            client.close()
            other.close()

    run(main())


class Unkillable:
    """A process of somebody else's."""

    pid = 7

    def kill(self) -> None:
        raise PermissionError(1, "Operation not permitted")


class Mute:
    """A worker that never answers."""

    def __init__(self) -> None:
        self.process: Any = Unkillable()
        self.vigil = Vigil()
        self.is_killed = False
        self.links: dict[int, object] = {2: None}
        self.signs = 1
        self.pings = 0

    def ping(self) -> None:
        self.pings += 1


def test_one_that_cannot_be_killed_is_told_once_and_the_others_are_pinged_on(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pinging, "PING_INTERVAL_S", 0.02)
    told: list[tuple[str, str, dict[str, Any]]] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        one, other = Mute(), Mute()
        enough = asyncio.Event()
        silent: list[Mute] = []

        def alive() -> Sequence[Mute]:
            other.signs += 1
            return [one, other]

        def is_silent(worker: Mute) -> None:
            silent.append(worker)
            if told and len(silent) >= 20:
                enough.set()

        rounds = Pinging(loop, alive, is_silent, lambda *words: told.append(words))
        await enough.wait()
        rounds.end()
        assert set(map(id, silent)) == {id(one)}
        assert one.pings == other.pings > 20
        assert not one.is_killed
        pings = one.pings
        assert rounds._next.cancelled() and one.pings == pings

    run(main())
    ((level, what, details),) = told
    assert (level, what) == ("error", CANNOT_KILL)
    assert details == {"pid": 7, "links": 1, "reason": "[Errno 1] Operation not permitted"}
