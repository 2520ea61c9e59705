"""Listeners bind what they can, say what they cannot, and survive a system that is out of files."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import stat
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from rabbitry.machine import LinkOptions
from rabbitry.runtime.listeners import Listener, ListenFailed, ListenOptions, bind

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


def test_bare_sockets_come_with_their_peers_and_do_not_block_or_delay(run: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        sock = await bind(loop, "amqp", "127.0.0.1", 0)
        accepted: asyncio.Queue[tuple[Any, Any]] = asyncio.Queue()

        def bare(got: Any, peer: Any) -> None:
            accepted.put_nowait((got, peer))

        listener = Listener(loop, sock, lambda sock: None, lambda why: None, accepted_bare=bare)
        # One at a time, then many at once: nobody is left in the backlog.
        for many in (1, 1, 1, 1, 20, 1, 20):
            clients = [socket.create_connection(sock.getsockname()) for _ in range(many)]
            came = [await accepted.get() for _ in clients]
            assert [peer for _, peer in came] == [client.getsockname() for client in clients]
            for got, _ in came:
                assert got.gettimeout() == 0
                assert got.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
                got.close()
            for client in clients:
                client.close()
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


def test_a_socket_that_was_shut_down_elsewhere_is_no_news(run: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        sock = await bind(loop, "amqp", "127.0.0.1", 0)
        refused: list[str] = []
        listener = Listener(loop, sock, lambda sock: None, refused.append)
        sock.dup().shutdown(socket.SHUT_RDWR)
        await asyncio.sleep(0.02)
        assert refused == []
        listener.close()

    run(main())


def mode_of(path: str) -> int:
    return os.stat(path).st_mode


def test_unix_sockets_have_their_mode_and_replace_what_a_dead_one_left(
    run: Run, tmp_path: Path
) -> None:
    path = str(tmp_path / "front.sock")

    async def main() -> None:
        loop = asyncio.get_running_loop()
        (await bind(loop, "amqp", path, 0)).close()
        assert stat.S_ISSOCK(mode_of(path)), "as a process that was killed leaves it"
        sock = await bind(loop, "amqp", path, 0, ListenOptions(unix_mode=0o620))
        assert mode_of(path) & 0o777 == 0o620
        with pytest.raises(ListenFailed, match=r"front.sock \(amqp\): Address already in use"):
            await bind(loop, "amqp", path, 0)
        sock.close()
        (tmp_path / "file").write_text("precious")
        with pytest.raises(ListenFailed, match="already in use"):
            await bind(loop, "amqp", str(tmp_path / "file"), 0)
        assert (tmp_path / "file").read_text() == "precious"
        with pytest.raises(ListenFailed, match="no such user"):
            await bind(loop, "amqp", path, 0, ListenOptions(unix_user="nobody at all"))
        sock = await bind(loop, "amqp", f"@{path}", 0)
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(b"\0" + path.encode())
        sock.close()

    run(main())


@pytest.mark.parametrize("v6only", [True, False])
def test_ipv6_with_and_without_ipv4(run: Run, v6only: bool) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        sock = await bind(loop, "amqp", "::", 0, ListenOptions(v6only=v6only))
        port = sock.getsockname()[1]
        socket.create_connection(("::1", port)).close()
        if v6only:
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", port))
        else:
            socket.create_connection(("127.0.0.1", port)).close()
        sock.close()

    run(main())


def test_accepted_sockets_have_the_options_and_wait_while_paused_or_shut(run: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        options = ListenOptions(links=LinkOptions(keepalive=True, keepalive_idle_s=33))
        sock = await bind(loop, "amqp", "127.0.0.1", 0, options)
        accepted: asyncio.Queue[socket.socket] = asyncio.Queue()
        listener = Listener(loop, sock, accepted.put_nowait, lambda why: None, options)
        listener.pause()
        listener.pause()
        with socket.create_connection(sock.getsockname()):
            await asyncio.sleep(0.01)
            assert accepted.empty()
            listener.shut(True)
            listener.resume()
            await asyncio.sleep(0.01)
            assert accepted.empty()  # shut it is, paused or not
            listener.shut(False)
            got = await accepted.get()
            assert got.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            assert got.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 33
            got.close()
        listener.close()
        listener.pause()
        listener.resume()

    run(main())


def test_who_comes_and_who_waits_is_refused_for_a_while(run: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        options = ListenOptions(backlog=7)
        sock = await bind(loop, "amqp", "127.0.0.1", 0, options)
        address = sock.getsockname()
        # A port that the system chose is given back when it is not listened at.
        sock.close()
        sock = await bind(loop, "amqp", *address, options)
        accepted: asyncio.Queue[socket.socket] = asyncio.Queue()
        why: list[str] = []
        listener = Listener(loop, sock, accepted.put_nowait, why.append, options)
        listener.pause()
        with socket.create_connection(address) as waiting:
            listener.refuse(True)
            listener.refuse(True)
            with pytest.raises(ConnectionResetError):
                waiting.recv(1)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address)
        listener.resume()  # is not enough
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address)
        other = await bind(loop, "amqp", *address, options)  # the system allows that
        listener.refuse(False)
        assert why == ["Address already in use"]
        assert listener.is_refusing
        other.close()
        listener.refuse(False)
        with socket.create_connection(address):
            (await accepted.get()).close()
        assert len(why) == 1
        listener.close()

    run(main())


def test_clients_of_a_unix_socket_wait_instead(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        path = str(tmp_path / "socket")
        sock = await bind(loop, "amqp", path, 0)
        accepted: asyncio.Queue[socket.socket] = asyncio.Queue()
        listener = Listener(loop, sock, accepted.put_nowait, lambda why: None)
        listener.pause()
        listener.refuse(True)
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(path)
            assert accepted.empty()
            listener.refuse(False)
            listener.resume()
            (await accepted.get()).close()
        listener.close()

    run(main())


def blocking_accept(sock: socket.socket) -> tuple[socket.socket, Any]:
    sock.setblocking(True)
    return sock.accept()
