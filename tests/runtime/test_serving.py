"""Tests of what a balancer has open, and of changing it: nothing half, nobody refused."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from rabbitry.balancer.balancer import PlanReload, Reload
from rabbitry.balancer.configuration.model import (
    BindLine,
    Configuration,
    FrontendSection,
    RuntimeSocket,
)
from rabbitry.balancer.configuration.reader import parse
from rabbitry.balancer.proxies import Proxies
from rabbitry.machine import Address, PauseListening, ResumeListening, StopListening
from rabbitry.runtime.listeners import ListenFailed
from rabbitry.runtime.serving import Reloader, Serving

HEAD = "defaults\ntimeout connect 1s\ntimeout client 1s\ntimeout server 1s\n"
BEFORE = """listen a
bind 127.0.0.1:1
server s 127.0.0.1:11
listen page
bind 127.0.0.1:9
mode http
stats enable
"""


def read(text: str) -> Configuration:
    return parse(HEAD + text, "f")


class Opened:
    """A page or a runtime socket of the play."""

    def __init__(self, world: World, name: str, address: Address) -> None:
        self.world, self.name, self.address = world, name, address
        self.is_in_place = False

    def put_in_place(self) -> None:
        if not self.is_in_place:
            self.world.did.append(f"place {self.name}")
        self.is_in_place = True

    async def close(self) -> None:
        self.world.did.append(f"close {self.name}")

    def refuse(self, whether: bool) -> None:
        self.world.did.append(f"{self.name} {'refuses' if whether else 'takes'}")

    def stop_listening(self) -> None:
        self.world.did.append(f"stop {self.name}")

    def renew_certificates(self) -> None:
        self.world.renewed.append(self.name)


class World:
    """Notes what is opened and closed; ports in `taken` cannot be."""

    def __init__(self, configuration: Configuration) -> None:
        self.proxies = Proxies(configuration)
        self.did: list[str] = []
        self.renewed: list[str] = []
        self.taken: set[int] = set()

    async def ask(self, question: Any) -> Any:
        await asyncio.sleep(0)
        if isinstance(question, PlanReload):
            return self.proxies.plan(question.configuration)
        assert isinstance(question, Reload)
        self.did.append("adopt")
        return self.proxies.adopt(question.configuration, 1)

    def _try(self, address: Address) -> None:
        if address.port in self.taken:
            raise ListenFailed(f"cannot listen on {address}: it is taken")

    async def listen(self, name: str, bind: BindLine, section: FrontendSection) -> Address:
        self._try(bind.address)
        self.did.append(f"listen {name}")
        return bind.address

    def accept(self, name: str) -> None:
        self.did.append(f"accept {name}")

    def take_over(self, old: str, name: str, bind: BindLine, section: FrontendSection) -> Address:
        self.did.append(f"take over {old} for {name}")
        return bind.address

    def stop_listening(self, name: str) -> None:
        self.did.append(f"stop {name}")

    async def serve_page(self, section: FrontendSection, bind: BindLine) -> Opened:
        self._try(bind.address)
        self.did.append(f"page {section.name}")
        return Opened(self, f"page {section.name}", bind.address)

    async def serve_commands(self, socket: RuntimeSocket, configuration: Configuration) -> Opened:
        self._try(socket.bind.address)
        self.did.append("socket")
        return Opened(self, "socket", socket.bind.address)

    async def renew_certificates(self) -> None:
        self.renewed.append(f"all behind {self.did[-1]}")

    def log_to(self, configuration: Configuration) -> None:
        self.did.append("log")


async def opened(text: str = BEFORE) -> tuple[World, Serving]:
    configuration = read(text)
    world = World(configuration)
    serving = Serving(world, configuration)
    listeners = [(each.name, each.bind) for each in world.proxies.listeners.values()]
    await serving.open(listeners)
    assert not any(did.startswith("accept") for did in world.did)
    serving.accept()
    return world, serving


def test_all_is_opened() -> None:
    async def main() -> None:
        world, serving = await opened()
        assert world.did == ["listen a", "page page", "accept a"]
        assert {name: where.port for name, where in serving.addresses.items()} == {
            "a": 1,
            "page": 9,
        }
        await serving.close()
        assert world.did[-1] == "close page page"

    asyncio.run(main())


def test_pages_of_a_disabled_section_are_not_served() -> None:
    async def main() -> None:
        world, serving = await opened(BEFORE + "disabled\n")
        assert "page page" not in world.did
        await serving.reload(read(BEFORE))
        assert world.did[-3:] == ["page page", "adopt", "log"]
        await serving.reload(read(BEFORE + "disabled\n"))
        assert world.did[-1] == "close page page"
        assert list(serving.addresses) == ["a"]

    asyncio.run(main())


def test_pages_refuse_and_are_given_up_as_the_machine_wants() -> None:
    async def main() -> None:
        world, serving = await opened()
        serving.steer_page(PauseListening("page", refuse=True))
        serving.steer_page(ResumeListening("page"))
        assert world.did[-2:] == ["page page refuses", "page page takes"]
        serving.steer_page(PauseListening("nobody", refuse=True))
        serving.steer_page(StopListening("page"))
        assert world.did[-1] == "stop page page"
        assert "page" in serving.addresses  # until the loop turns
        await serving.close()
        assert world.did[-2:] == ["stop page page", "close page page"]
        assert list(serving.addresses) == ["a"]

    asyncio.run(main())


def test_the_same_file_opens_and_closes_nothing() -> None:
    async def main() -> None:
        world, serving = await opened()
        world.did.clear()
        assert await serving.reload(read(BEFORE)) == []
        assert world.did == ["adopt", "log"]
        # Though no line has changed, files may have.
        assert world.renewed == ["page page", "all behind log"]

    asyncio.run(main())


def test_new_listeners_accept_when_the_machine_knows_them_and_old_ones_end_then() -> None:
    async def main() -> None:
        world, serving = await opened()
        world.did.clear()
        await serving.reload(read(BEFORE.replace("127.0.0.1:1\n", "127.0.0.1:2\n")))
        assert world.did == ["listen a/2", "adopt", "log", "accept a/2", "stop a"]
        assert serving.addresses["a/2"].port == 2
        assert "a" not in serving.addresses

    asyncio.run(main())


def test_an_address_that_moves_to_another_section_keeps_its_socket() -> None:
    async def main() -> None:
        world, serving = await opened()
        world.did.clear()
        await serving.reload(read(BEFORE.replace("listen a", "listen b")))
        assert world.did == ["take over a for b", "adopt", "log", "accept b", "stop a"]

    asyncio.run(main())


def test_a_port_that_is_taken_changes_nothing() -> None:
    async def main() -> None:
        world, serving = await opened()
        before = dict(serving.addresses)
        world.did.clear()
        world.taken = {3}
        text = BEFORE.replace("127.0.0.1:1\n", "127.0.0.1:2\nbind 127.0.0.1:3\n")
        with pytest.raises(ListenFailed):
            await serving.reload(read(text))
        assert world.did == ["listen a/2", "stop a/2"]
        assert serving.addresses == before

    asyncio.run(main())


def test_a_page_that_cannot_be_served_changes_nothing() -> None:
    async def main() -> None:
        world, serving = await opened()
        world.did.clear()
        world.taken = {8}
        more = "listen c\nbind 127.0.0.1:5\nserver s 127.0.0.1:11\n"
        text = BEFORE + more + "listen other\nbind 127.0.0.1:8\nmode http\nstats enable\n"
        with pytest.raises(ListenFailed):
            await serving.reload(read(text))
        assert world.did == ["listen c", "stop c"]

    asyncio.run(main())


def test_pages_come_go_and_change() -> None:
    async def main() -> None:
        world, serving = await opened()
        world.did.clear()
        await serving.reload(read(BEFORE + "stats refresh 3s\n"))
        assert world.did == ["adopt", "log", "close page page", "page page"]
        world.did.clear()
        await serving.reload(read(BEFORE.partition("listen page")[0]))
        assert world.did == ["adopt", "log", "close page page"]
        assert "page" not in serving.addresses

    asyncio.run(main())


def test_a_reload_is_answered_as_haproxys_master_does() -> None:
    async def main() -> None:
        world, serving = await opened()
        told: list[tuple[str, str]] = []
        text = BEFORE

        def read_again() -> Configuration:
            return read(text)

        reloader = Reloader(serving, read_again, lambda level, line: told.append((level, line)))
        assert await reloader.reload() == "Success=1\n"
        text = BEFORE.replace("server s", "serve s")
        answer = await reloader.reload()
        assert answer.startswith("Success=0\n--\nf:7: 'serve' is not known")
        assert told[-1] == ("error", "nothing was changed")
        world.taken = {2}
        text = BEFORE.replace("127.0.0.1:1\n", "127.0.0.1:2\n")
        assert "it is taken" in await reloader.reload()

    asyncio.run(main())
