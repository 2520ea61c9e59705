"""Listeners bind what they can, say what they cannot, and survive a system that is out of files."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from rabbitry.runtime.listeners import Listener, ListenFailed, bind

Run = Callable[[Coroutine[Any, Any, Any]], Any]


class StarvedSocket:
    """A listening socket whose first accept fails as if the process had no file descriptor left."""

    def __init__(self, sock: socket.socket, error: int) -> None:
        self._sock = sock
        self._errors = [error]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def accept(self) -> tuple[socket.socket, Any]:
        if self._errors:
            number = self._errors.pop()
            raise OSError(number, os.strerror(number))
        return self._sock.accept()


@pytest.mark.parametrize("error", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.EPERM])
def test_an_error_of_accept_is_told_and_the_link_comes_later(
    run: Run, error: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rabbitry.runtime.listeners.REST_S", 0.01)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        sock = await bind(loop, "amqp", "127.0.0.1", 0)
        accepted: asyncio.Queue[socket.socket] = asyncio.Queue()
        refused: list[str] = []
        starved: Any = StarvedSocket(sock, error)
        listener = Listener(loop, starved, accepted.put_nowait, refused.append)
        with socket.create_connection(sock.getsockname()):
            (await accepted.get()).close()
        assert refused == [os.strerror(error)]
        listener.close()

    run(main())


def test_accepted_sockets_do_not_block_and_do_not_delay(run: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        sock = await bind(loop, "amqp", "127.0.0.1", 0)
        accepted: asyncio.Queue[socket.socket] = asyncio.Queue()
        listener = Listener(loop, sock, accepted.put_nowait, lambda why: None)
        with socket.create_connection(sock.getsockname()):
            got = await accepted.get()
            assert not got.getblocking()
            assert got.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            got.close()
        listener.close()
        listener.close()

    run(main())


def test_what_cannot_be_bound_is_named_with_its_reason(run: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        with pytest.raises(ListenFailed, match=r"cannot listen on no such host:1 \(amqp\): \w+"):
            await bind(loop, "amqp", "no such host", 1)
        with (
            socket.create_server(("127.0.0.1", 0)) as taken,
            pytest.raises(ListenFailed, match="Address already in use"),
        ):
            await bind(loop, "amqp", *taken.getsockname())
        with pytest.raises(ListenFailed, match="Cannot assign requested address"):
            await bind(loop, "amqp", "192.0.2.1", 0)  # of TEST-NET-1: nobody's

    run(main())


def test_a_port_is_free_again_at_once(run: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        sock = await bind(loop, "amqp", "127.0.0.1", 0)
        address = sock.getsockname()
        with socket.create_connection(address):
            accepted, _ = await loop.run_in_executor(None, blocking_accept, sock)
            accepted.close()  # our side closes first: the port's old link stays in TIME_WAIT
        sock.close()
        (await bind(loop, "amqp", *address)).close()

    run(main())


def blocking_accept(sock: socket.socket) -> tuple[socket.socket, Any]:
    sock.setblocking(True)
    return sock.accept()
