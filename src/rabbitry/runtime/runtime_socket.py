"""Runtime sockets (`stats socket`): lines come in, go to the balancer, its texts go out.

Owns the sockets and their connections. What a line does is `balancer.commands`'; what a link may is
in its `Terminal`. A translation of the edge of src/cli.c.

A Unix socket is made under a name of its own, and gets its path with `put_in_place` (as HAProxy's:
src/sock_unix.c, `sock_unix_bind_receiver`): who listens there until then goes on, also if we end
before. HAProxy renames as soon as it is bound, which takes the path from a running one when its
start fails later.

Invariants: no path is taken from somebody by a start that fails; a file that is not of our socket
is never removed; a client that is slow, silent, or sends lines without end costs its own connection
and nothing else: lines are bounded, silence and unread answers end after `stats timeout`,
connections beyond `stats maxconn` wait in the backlog.
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
        self._unplaced: list[tuple[Path, Path]] = []  # where a socket is, and its path
        self._files: list[tuple[Path, _File]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._slots = asyncio.Semaphore(CONNECTIONS_MAX)
        self._closed = False

    async def open(
        self,
        sockets: Sequence[RuntimeSocket],
        timeout_us: int,
        connections_max: int = CONNECTIONS_MAX,
    ) -> None:
        """Listen at all of them; at paths after `put_in_place`. Raises `ListenFailed`."""
        self._slots = asyncio.Semaphore(connections_max)
        for each in sockets:
            sock = await self._listen(each.bind)
            self._sockets.append(sock)
            self._start(self._accept(sock, each.bind.level, timeout_us))

    def put_in_place(self) -> None:
        """Give the sockets their paths: all, or none. Raises `ListenFailed`."""
        placed: list[tuple[Path, Path, Path]] = []
        try:
            for new, path in self._unplaced:
                old = path.with_name(f"{path.name}.{os.getpid()}.bak")
                old.unlink(missing_ok=True)
                with contextlib.suppress(OSError):  # nobody's, or one that may only be replaced
                    os.link(path, old, follow_symlinks=False)
                placed.append((new, path, old))
                new.rename(path)  # at no moment is there a socket that nobody listens on
        except OSError as error:
            for new, path, old in placed:
                _put_back(new, path, old)
            raise _failed(path, error) from None
        self._unplaced.clear()
        for _, path, old in placed:
            self._files.append((path, _file_of(path)))
            old.unlink(missing_ok=True)

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
        for path, file in self._files:
            with contextlib.suppress(OSError):  # `user` may have taken the right to
                if _file_of(path) == file:  # else somebody else's, who has taken the path
                    path.unlink()
        for new, _ in self._unplaced:
            with contextlib.suppress(OSError):
                new.unlink()

    async def _listen(self, line: BindLine) -> socket.socket:
        host, port = line.address.host, line.address.port
        if not host.startswith("/"):
            return await bind(asyncio.get_running_loop(), "stats socket", host, port)
        sock, new = _bind_unix(Path(host), line)
        self._unplaced.append((new, Path(host)))
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


def _bind_unix(path: Path, line: BindLine) -> tuple[socket.socket, Path]:
    """Listen on a Unix socket beside this path; return it and where. Raises `ListenFailed`."""
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
    except (OSError, LookupError) as error:
        sock.close()
        new.unlink(missing_ok=True)
        raise _failed(path, error) from None
    return sock, new


def _put_back(new: Path, path: Path, old: Path) -> None:
    """Have everything where it was before a socket `new` got its path."""
    with contextlib.suppress(OSError):
        if not new.exists():
            path.rename(new)
        old.rename(path)  # of two names of one file this makes none
    with contextlib.suppress(OSError):
        old.unlink(missing_ok=True)


def _failed(path: Path, error: Exception) -> ListenFailed:
    why = (isinstance(error, OSError) and error.strerror) or str(error)
    return ListenFailed(f"cannot listen on {Address(str(path), 0)} (stats socket): {why}")


_File = tuple[int, int]


def _file_of(path: Path) -> _File:
    """Return what tells a file from others. Raises OSError."""
    found = path.lstat()
    return found.st_dev, found.st_ino


def _number_or_name(who: str | None) -> int | str | None:
    """A user or group as `shutil.chown` takes it."""
    return int(who) if who is not None and who.isdigit() else who
