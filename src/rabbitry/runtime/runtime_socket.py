"""Runtime sockets (`stats socket`): lines come in, go to the balancer, its texts go out.

Owns the sockets and their connections. What a line does is `balancer.commands`'; what a link may is
in its `Terminal`. A translation of the edge of src/cli.c.

Invariants: a client that is slow, silent, or sends lines without end costs its own connection and
nothing else: lines are bounded, silence and unread answers end after `stats timeout`, connections
beyond `stats maxconn` wait in the backlog.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from pathlib import Path

from rabbitry.balancer.commands.terminal import Terminal
from rabbitry.balancer.configuration.model import BindLine, RuntimeSocket
from rabbitry.machine import Address
from rabbitry.runtime.listeners import ListenFailed, bind

BACKLOG = 64
CONNECTIONS_MAX = 10
"""HAProxy's default of `stats maxconn`."""
READ_BYTES = 16_384
REST_S = 1.0
"""How long to wait where the system has no descriptor for one more connection."""

RunLine = Callable[[Terminal, str], Awaitable[str]]
"""Carries out a line; returns what is to be sent."""


class RuntimeSockets:
    """The runtime sockets of a balancer, from `open` to `close`. `run_line` carries out a line."""

    def __init__(self, run_line: RunLine) -> None:
        self._run_line = run_line
        self._sockets: list[socket.socket] = []
        self._files: list[Path] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._slots = asyncio.Semaphore(CONNECTIONS_MAX)
        self._closed = False

    async def open(
        self,
        sockets: Sequence[RuntimeSocket],
        timeout_us: int,
        connections_max: int = CONNECTIONS_MAX,
    ) -> None:
        """Listen at all of them. Raises `ListenFailed`."""
        self._slots = asyncio.Semaphore(connections_max)
        for each in sockets:
            sock = await self._listen(each.bind)
            self._sockets.append(sock)
            self._start(self._accept(sock, each.bind.level, timeout_us))

    async def close(self) -> None:
        """Listen no more and end all connections, but for one whose own line asks for this: it
        has an answer to send, and ends by itself then.
        """
        self._closed = True
        others = self._tasks - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        for sock in self._sockets:
            sock.close()
        for path in self._files:
            with contextlib.suppress(OSError):  # `user` may have taken the right to
                path.unlink()

    async def _listen(self, line: BindLine) -> socket.socket:
        host, port = line.address.host, line.address.port
        if not host.startswith("/"):
            return await bind(asyncio.get_running_loop(), "stats socket", host, port)
        sock = _bind_unix(Path(host), line)
        self._files.append(Path(host))
        return sock

    def _start(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _accept(self, listening: socket.socket, level: str, timeout_us: int) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._slots.acquire()
            try:
                sock, _ = await loop.sock_accept(listening)
            except OSError:
                self._slots.release()
                await asyncio.sleep(REST_S)  # out of descriptors: it cannot be awaited
                continue
            except BaseException:
                self._slots.release()
                raise
            sock.setblocking(False)
            self._start(self._serve(sock, Terminal(level, timeout_us)))

    async def _serve(self, sock: socket.socket, terminal: Terminal) -> None:
        try:
            with contextlib.suppress(OSError, TimeoutError), sock:
                await self._talk(sock, terminal)
        finally:
            self._slots.release()

    async def _talk(self, sock: socket.socket, terminal: Terminal) -> None:
        loop = asyncio.get_running_loop()
        while True:
            async with asyncio.timeout(terminal.timeout_us / 1e6):
                data = await loop.sock_recv(sock, READ_BYTES)
            lines = terminal.take_bytes(data)
            if not data or lines is None:
                return
            for line in lines:
                text = await self._run_line(terminal, line)
                await self._send(sock, text.encode("utf-8", "surrogateescape"), terminal)
                if terminal.is_closing or self._closed:
                    return
            if lines and not terminal.prompt:
                return

    @staticmethod
    async def _send(sock: socket.socket, answer: bytes, terminal: Terminal) -> None:
        """Send an answer, as long as some of it is taken from time to time."""
        loop = asyncio.get_running_loop()
        for begin in range(0, len(answer), READ_BYTES):
            async with asyncio.timeout(terminal.timeout_us / 1e6):
                await loop.sock_sendall(sock, answer[begin : begin + READ_BYTES])


def _bind_unix(path: Path, line: BindLine) -> socket.socket:
    """Listen on a Unix socket; an old one in its place is replaced. Raises `ListenFailed`."""
    new = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        new.unlink(missing_ok=True)
        sock.bind(str(new))
        user, group = _number_or_name(line.user), _number_or_name(line.group)
        if user is not None and group is not None:
            shutil.chown(new, user, group)
        elif user is not None:
            shutil.chown(new, user)
        elif group is not None:
            shutil.chown(new, group=group)
        new.chmod(0o600 if line.mode is None else line.mode)
        sock.listen(BACKLOG)
        new.rename(path)  # at no moment is there a socket that nobody listens on
    except (OSError, LookupError) as error:
        sock.close()
        new.unlink(missing_ok=True)
        why = (isinstance(error, OSError) and error.strerror) or str(error)
        where = Address(str(path), 0)
        raise ListenFailed(f"cannot listen on {where} (stats socket): {why}") from None
    return sock


def _number_or_name(who: str | None) -> int | str | None:
    """A user or group as `shutil.chown` takes it."""
    return int(who) if who is not None and who.isdigit() else who
