"""Links that can be joined: what one of two brings is sent over the other, without a step.

Owns the way of bytes between two links. Between two plain ones they are read into one buffer that
all links share and sent on from there; only what the other socket did not take is kept. When reads
fill that buffer, bytes go through a pipe inside the kernel instead, until reads become small again
(docs/decisions/0090 has the figures). A link with TLS is a transport of asyncio, and is written to
and paused through it.

What waits for a link stops the reading of its partner: so one buffer or one pipe waits for a plain
link, `JOINED_HIGH_WATER_BYTES` and one read for a link with TLS.

Invariants: the machine hears of a joined link only its finish and its close, each with the
measures of both (but a close when both have finished and told theirs); all that came before either
has then been sent on, or waits for the partner.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from time import monotonic_ns
from typing import Any, Protocol

from rabbitry.machine import (
    Address,
    BytesReceived,
    LinkClosed,
    LinkFinished,
    Measure,
    WritingPaused,
    WritingResumed,
)
from rabbitry.runtime import links
from rabbitry.runtime.links import Link, reason_of
from rabbitry.runtime.pipes import PIPE_SIZE_BYTES, SPLICE_FLAGS, Pipe, PipePool
from rabbitry.runtime.plain_links import (
    BUFFER,
    BUFFER_BYTES,
    EVENT_IN,
    MASK_IN,
    VIEW,
    Owner,
    PlainLink,
)

BULK_BYTES_MIN = 32 * 1024
"""A read of less through the pipe ends the use of pipes: for small ones a buffer is cheaper."""

_MORE = getattr(socket, "MSG_MORE", 0)
"""A FIN follows these bytes: one segment takes both to the client, and wakes it once."""

JOINED_HIGH_WATER_BYTES = 256 * 1024
JOINED_LOW_WATER_BYTES = 64 * 1024
"""How much waits in a transport before its partner is not read, and is read again."""


class JoiningOwner(Owner, Protocol):
    """What a joinable link needs of its hand."""

    pipes: PipePool


class Joinable(Protocol):
    """What a link needs of the one that it is joined with, whatever carries its bytes."""

    def join(self, partner: Joinable, late: bytes = b"") -> None:
        """Send over `partner` from now on what this link brings; `late` has come already."""
        ...

    def full(self) -> bool:
        """Whether it takes no more for now; `look` of the other is called when that changes."""
        ...

    def send_on(self, data: bytes) -> None:
        """Send what the other brought."""
        ...

    def look(self) -> None:
        """Look again whether the other is full."""
        ...

    def measure(self) -> Measure:
        """Tell what it has done since it was joined."""
        ...


def _now() -> int:
    return monotonic_ns() // 1000


class JoinablePlainLink(PlainLink):
    """A plain link that can be joined."""

    __slots__ = (
        "_bulk",
        "_is_measured",
        "_partner",
        "_pipe",
        "_piped_bytes",
        "_plain_partner",
        "_received_bytes",
    )

    _owner: JoiningOwner

    def __init__(
        self,
        owner: JoiningOwner,
        sock: socket.SocketType,
        listener: str,
        number: int,
        *,
        connecting: bool,
        peer: Address | None = None,
    ) -> None:
        super().__init__(owner, sock, listener, number, connecting=connecting, peer=peer)
        self._partner: Joinable | None = None
        self._plain_partner: JoinablePlainLink | None = None
        self._bulk = False
        self._is_measured = False  # all that both have brought was told
        self._pipe: Pipe | None = None  # what is in it follows `_out`
        self._piped_bytes = 0
        self._received_bytes = 0

    # --- what the hand and the partner want -----------------------------------------------------

    def join(self, partner: Joinable, late: bytes = b"") -> None:
        """Send over `partner` from now on what this link brings; `late` has come already."""
        self._partner = partner
        self._plain_partner = partner if isinstance(partner, JoinablePlainLink) else None
        self._held = False
        self._active_at = _now()
        if late:
            self._received_bytes += len(late)
            partner.send_on(late)
        self._look()

    def measure(self) -> Measure:
        """Tell what it has done since it was joined."""
        waiting_bytes = len(self._out) + self._piped_bytes
        return Measure(self.number, self._received_bytes, self._active_at, waiting_bytes)

    def full(self) -> bool:
        """Whether something waits for the socket to take it."""
        return bool(self._out or self._piped_bytes)

    def waiting_bytes(self) -> int:
        """Return how many bytes wait for the socket to take them."""
        return len(self._out) + self._piped_bytes

    def send_on(self, data: bytes) -> None:
        """Send what the partner brought."""
        self.write(data)

    def look(self) -> None:
        """Look again whether the partner is full."""
        self._look()

    def takes_none(self) -> bool:
        """Whether nothing can be sent over this link any more."""
        return self._finishing or self._closing or self._gone or self._broken is not None

    # --- how being joined changes a link --------------------------------------------------------

    def ready(self, events: int) -> None:
        """Hear from the poller that something can be done, or has broken."""
        partner = self._plain_partner
        if partner is not None and self._mask == MASK_IN and not (self._bulk or self._closing):
            # What nearly always is the case: bytes have come, and are sent on.
            if events == EVENT_IN:
                self._pass_through_buffer(partner)
                return
            if events == MASK_IN:
                self._pass_through_buffer(partner, _MORE if partner.listener else 0)
                self._read_to_the_end()
                return
        super().ready(events)

    def _may_read(self) -> bool:
        return not self._held if self._partner is None else not self._partner.full()

    def _is_patient(self) -> bool:
        return self._partner is not None

    def _made_room(self) -> None:
        if self._partner is not None:
            self._partner.look()

    def _pace(self, event: WritingPaused | WritingResumed) -> None:
        if self._partner is None:
            super()._pace(event)

    def _tell(self, event: LinkFinished | LinkClosed) -> None:
        partner = self._partner
        if partner is not None and not (self._is_measured and type(event) is LinkClosed):
            event.measures = self.measure(), partner.measure()
            other = self._plain_partner
            if other is not None and self._finish_received and other._finish_received:
                self._is_measured = other._is_measured = True
        self._owner.take(event)

    def _read(self) -> None:
        partner = self._plain_partner
        if partner is None or self._closing:
            super()._read()
        elif not (self._bulk and self._pass_through_pipe(partner)):
            self._pass_through_buffer(partner)

    def _bring(self, size: int) -> None:
        if self._partner is None:
            super()._bring(size)
            return
        self._received_bytes += size
        self._active_at = _now()
        self._partner.send_on(bytes(VIEW[:size]))
        self._look()

    def _drain(self) -> None:
        if self._piped_bytes and not self._out:
            self._drain_pipe()
        super()._drain()

    def _drop_waiting(self) -> None:
        super()._drop_waiting()
        self._piped_bytes = 0
        if self._pipe is not None:
            self._owner.pipes.drop(self._pipe)
            self._pipe = None

    # --- between two plain links ----------------------------------------------------------------

    def _pass_through_buffer(self, partner: JoinablePlainLink, flags: int = 0) -> None:
        try:
            size = self._sock.recv_into(BUFFER)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._lose(self._broken or reason_of(error))
            return
        if not size:
            self._finished()
            return
        now = self._owner.poller.now
        self._received_bytes += size
        self._active_at = now
        if size == BUFFER_BYTES and SPLICE_FLAGS:
            self._bulk = True
        if (  # `takes_none`, without the call
            partner._finishing or partner._closing or partner._gone or partner._broken is not None
        ):
            return
        try:
            sent = partner._sock.send(VIEW[:size], flags)
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError as error:
            partner._break(error)
            return
        if sent:
            partner._active_at = now
        if sent < size:
            partner._out = bytes(VIEW[sent:size])
            partner._look()
            self._look()

    def _pass_through_pipe(self, partner: JoinablePlainLink) -> bool:
        """Move bytes without seeing them; False where there is no pipe for it."""
        pipes = self._owner.pipes
        pipe = pipes.take()
        if pipe is None:
            return False
        try:
            size = os.splice(self._fd, pipe.writer, PIPE_SIZE_BYTES, flags=SPLICE_FLAGS)
        except (BlockingIOError, InterruptedError):
            pipes.give(pipe)
            return True
        except OSError as error:
            pipes.give(pipe)
            self._lose(self._broken or reason_of(error))
            return True
        if not size:
            pipes.give(pipe)
            self._finished()
            return True
        self._received_bytes += size
        self._active_at = self._owner.poller.now
        if size < BULK_BYTES_MIN:
            self._bulk = False
        if partner.takes_none():
            pipes.drop(pipe)
            return True
        partner._pipe, partner._piped_bytes = pipe, size
        partner._drain_pipe()
        if partner._piped_bytes:
            partner._look()
            self._look()
        return True

    def _drain_pipe(self) -> None:
        """Send what is in the pipe, as far as the socket takes it; give back an empty pipe."""
        assert self._pipe is not None
        waiting = left = self._piped_bytes
        try:
            while left:
                left -= os.splice(self._pipe.reader, self._fd, left, flags=SPLICE_FLAGS)
        except (BlockingIOError, InterruptedError):
            pass
        except OSError as error:
            self._break(error)
            return
        self._piped_bytes = left
        if left < waiting:
            self._active_at = self._owner.poller.now
        if not left:
            self._owner.pipes.give(self._pipe)
            self._pipe = None


class JoinableLink(Link):
    """A link on a transport that can be joined: those with TLS."""

    __slots__ = ("_active_at", "_full", "_gone", "_partner", "_received_bytes", "early")

    def __init__(
        self,
        owner: links.Owner,
        listener: str,
        number: int,
        name_peer: Callable[[dict[str, Any] | None], str | None] | None = None,
    ) -> None:
        super().__init__(owner, listener, number, name_peer)
        self.early = b""  # came before the handshake; the machine hears it first
        self._half_closes = True  # also with TLS: see `tls_transport`
        self._partner: Joinable | None = None
        self._full = False
        self._gone = False
        self._received_bytes = 0
        self._active_at = 0

    def join(self, partner: Joinable, late: bytes = b"") -> None:
        """Send over `partner` from now on what this link brings; `late` has come already."""
        self._partner = partner
        self._active_at = _now()
        self._held = False
        self._full = self.transport.get_write_buffer_size() > JOINED_HIGH_WATER_BYTES
        self.transport.set_write_buffer_limits(JOINED_HIGH_WATER_BYTES, JOINED_LOW_WATER_BYTES)
        rest, self._rest = late + self._rest, b""
        if rest:
            self._bring(rest)
        self.look()

    def measure(self) -> Measure:
        """Tell what it has done since it was joined."""
        waiting = 0
        if not (self._gone or self.transport.is_closing()):  # asyncio's TLS raises then
            waiting = self.transport.get_write_buffer_size()
        return Measure(self.number, self._received_bytes, self._active_at, waiting)

    def full(self) -> bool:
        """Whether its transport holds more than the high-water mark."""
        return self._full

    def send_on(self, data: bytes) -> None:
        """Send what the partner brought."""
        if not (self._closing or self.transport.is_closing()):
            self.write(data)
            if not self._full:
                self._active_at = _now()

    def look(self) -> None:
        """Look again whether the partner is full."""
        if self._partner is not None and not (self._gone or self._closing):
            if self._partner.full():
                self._pause()
            else:
                self._resume()

    def _bring(self, data: bytes) -> None:
        assert self._partner is not None
        self._received_bytes += len(data)
        self._active_at = _now()
        self._partner.send_on(data)
        if self._partner.full():
            self._pause()

    # --- what the transport tells ---------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Tell `LinkOpened`, and of what came before."""
        super().connection_made(transport)
        if self._held:
            self._rest = self.early
        elif self.early and not (self._closing or self._silent):
            self._owner.take(BytesReceived(self.number, self.early))

    def data_received(self, data: bytes) -> None:
        """Send on what came, or tell `BytesReceived`."""
        if self._partner is None:
            super().data_received(data)
        elif not self._closing:
            self._bring(data)

    def pause_writing(self) -> None:
        """Hear that the transport holds much."""
        if self._partner is None:
            super().pause_writing()
        else:
            self._full = True
            self._partner.look()

    def resume_writing(self) -> None:
        """Hear that the transport holds little."""
        if self._partner is None:
            super().resume_writing()
        elif self._full:
            self._full = False
            self._active_at = _now()
            self._partner.look()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell `LinkClosed`."""
        self._gone = True
        self._full = False
        super().connection_lost(exc)
        if self._partner is not None:
            self._partner.look()

    def tell(self, event: LinkFinished | LinkClosed) -> None:
        """Tell the end of a direction or of the link, behind the measures of both."""
        if self._partner is not None:
            event.measures = self.measure(), self._partner.measure()
        super().tell(event)
