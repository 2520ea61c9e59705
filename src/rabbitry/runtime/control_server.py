"""The answering side of the control protocol: the supervisor's unix socket.

Owns the socket and its connections; what is asked is decided by `handle`. Bytes that are no request
get an error for a reply and harm nothing. The access right is that of the socket file, in a
directory that only its user can enter.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec

from rabbitry.runtime.control import Reply, Request
from rabbitry.runtime.errors import EXIT_SOFTWARE, EXIT_USAGE, UserError

REQUEST_BYTES_MAX = 64 * 1024 * 1024
"""Longest request: definitions with very many queues."""

ANSWER_S = 1.0
"""How long the end waits for answers that are still being made."""

_log = logging.getLogger("rabbitry")


class Asker:
    """Who asked: hears how it goes, if still there.

    `if_left` is what to say to one who leaves now (Ctrl-C): what was done, and what goes on.
    """

    if_left = ""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @property
    def gone(self) -> bool:
        """Whether nobody waits for the answer any more (Ctrl-C)."""
        return self._reader.at_eof() or self._writer.is_closing()

    def tell(self, line: str) -> None:
        """Tell how it goes, in a line for the user."""
        if not self.gone:
            self._writer.write(msgspec.json.encode(Reply(progress=line)) + b"\n")

    async def hear_leave(self) -> None:
        """Wait until it has no more to say: that is how it leaves. It may still hear."""
        with contextlib.suppress(ConnectionError):
            await self._reader.read()
        if self.if_left and not self._writer.is_closing():
            self._writer.write(msgspec.json.encode(Reply(left=self.if_left)) + b"\n")


class ControlServer:
    """Answers requests on a unix socket from `open` to `close`."""

    def __init__(self, handle: Callable[[Request, Asker], Awaitable[dict[str, Any]]]) -> None:
        """`handle` returns the result of a request, or raises `UserError`."""
        self._handle = handle
        self._connections: set[asyncio.Task[None]] = set()
        self._answering = 0
        self._idle = asyncio.Event()
        self._idle.set()

    async def open(self, path: Path) -> None:
        """Listen on the unix socket `path`, which must not be there yet."""
        self._server = await asyncio.start_unix_server(
            self._connected, path, limit=REQUEST_BYTES_MAX
        )

    async def close(self) -> None:
        """Listen no more, and send what answers there are.

        Connections stay open until the process ends: it is by that end that `stop` knows of it.
        """
        self._server.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ANSWER_S):
                await self._idle.wait()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        leaving: asyncio.Task[None] | None = None
        try:
            with contextlib.suppress(ConnectionError):
                # The asker's end of the connection ends it: after `stop` that waits for our end.
                line = await reader.readline()
                asker = Asker(reader, writer)
                leaving = asyncio.create_task(asker.hear_leave())
                self._answering += 1
                self._idle.clear()
                try:
                    reply = await self._reply(line, asker)
                    asker.if_left = ""
                    writer.write(msgspec.json.encode(reply) + b"\n")
                    await writer.drain()
                finally:
                    self._answering -= 1
                    if not self._answering:
                        self._idle.set()
                await leaving
        except ValueError:
            pass  # a line beyond the limit: nothing that we could have sent
        except asyncio.CancelledError:
            return  # `close`: leave the connection to the end of the process
        finally:
            self._connections.discard(task)
            if leaving is not None:
                leaving.cancel()
        writer.close()

    async def _reply(self, line: bytes, asker: Asker) -> Reply:
        try:
            request: Request = msgspec.json.decode(line, type=Request)
        except msgspec.DecodeError as error:
            return Reply(error=f"not understood: {error}", exit_code=EXIT_USAGE)
        try:
            return Reply(result=await self._handle(request, asker))
        except UserError as error:
            return Reply(error=str(error), exit_code=error.exit_code)
        except Exception as error:
            _log.exception("cannot answer %s", type(request).__name__)
            what = f"internal error: {type(error).__name__}; see the log"
            return Reply(error=what, exit_code=EXIT_SOFTWARE)
