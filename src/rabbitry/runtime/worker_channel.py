"""The way between the first process of a balancer and one worker: batches of messages, and sockets.

Owns one end of a stream of Unix sockets: what is said in one turn of the loop goes out as one
batch, and arrives in order; file descriptors arrive in the order of the messages they belong to.

Invariants: `heard` is never called within `send`; after `close`, or once the other end is gone
(which `gone` is told once), nothing is heard or sent.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from rabbitry.runtime.hand_messages import encode

READ_BYTES = 256 * 1024
FILES_PER_READ_MAX = 32


class Channel:
    """One end. `decoder` knows what the other end may say."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sock: socket.socket,
        decoder: msgspec.msgpack.Decoder[Any],
        heard: Callable[[Any], None],
        gone: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._sock = sock
        self._decoder = decoder
        self._heard = heard
        self._gone = gone
        self._batch: list[Any] = []
        self._out: deque[tuple[bytes, list[int]]] = deque()
        self._in = bytearray()
        self._files: deque[int] = deque()
        self._writing = False
        self.closed = False
        self.reads = 0
        """How often something has come: signs of life of the other end."""
        sock.setblocking(False)
        loop.add_reader(sock.fileno(), self._readable)

    def send(self, message: Any, file: int | None = None) -> None:
        """Say something, soon. `file` is a descriptor that the other end shall have, too."""
        if self.closed:
            return
        if file is not None:
            self._end_batch()
            self._out.append((encode([message]), [os.dup(file)]))
            self._loop.call_soon(self._flush)
            return
        if not self._batch:
            self._loop.call_soon(self._flush)
        self._batch.append(message)

    def take_file(self) -> int:
        """Return the descriptor that came with the message that is being heard."""
        return self._files.popleft()

    def close(self) -> None:
        """Hear and say nothing any more."""
        if self.closed:
            return
        self.closed = True
        self._loop.remove_reader(self._sock.fileno())
        if self._writing:
            self._loop.remove_writer(self._sock.fileno())
        self._sock.close()
        for _, files in self._out:
            for file in files:
                os.close(file)
        for file in self._files:
            os.close(file)

    def _end_batch(self) -> None:
        if self._batch:
            self._out.append((encode(self._batch), []))
            self._batch = []

    def _flush(self) -> None:
        if self.closed:
            return
        self._end_batch()
        out = self._out
        try:
            while out:
                data, files = out[0]
                sent = (
                    socket.send_fds(self._sock, [data], files) if files else self._sock.send(data)
                )
                for file in files:
                    os.close(file)
                if sent == len(data):
                    out.popleft()
                else:
                    out[0] = (data[sent:], [])
        except (BlockingIOError, InterruptedError):
            pass
        except OSError:
            self._lose()
            return
        if bool(out) != self._writing:
            self._writing = bool(out)
            if out:
                self._loop.add_writer(self._sock.fileno(), self._flush)
            else:
                self._loop.remove_writer(self._sock.fileno())

    def _readable(self) -> None:
        try:
            data, files, _, _ = socket.recv_fds(self._sock, READ_BYTES, FILES_PER_READ_MAX)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data, files = b"", []
        for file in files:
            os.set_inheritable(file, False)
            self._files.append(file)
        if not data:
            self._lose()
            return
        self.reads += 1
        self._in += data
        for batch in self._batches():
            for message in batch:
                self._heard(message)

    def _batches(self) -> Iterator[list[Any]]:
        """Return the batches that have come whole."""
        at = 0
        while len(self._in) - at >= 4 and not self.closed:
            end = at + 4 + int.from_bytes(self._in[at : at + 4], "big")
            if len(self._in) < end:
                break
            with memoryview(self._in) as all_of_it, all_of_it[at + 4 : end] as body:
                batch = self._decoder.decode(body)
            at = end
            yield batch
        del self._in[:at]

    def _lose(self) -> None:
        if not self.closed:
            self.close()
            self._gone()
