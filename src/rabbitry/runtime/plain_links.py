"""A link on a bare socket: what `links.Link` is on a transport, with less between kernel and us.

Owns one non-blocking socket without TLS, and almost no memory while nothing passes. An orderly
close goes as described in `links`. `joinable_links` adds what is needed to be joined with another.

Errors: a socket that cannot be written to is read to its end first: the peer may have said why
before. What a turn of the poller reports may be stale by one event: a read may find nothing.

Invariants: after `close` the machine hears nothing of the link but `LinkClosed` (and measures);
nothing is told after `LinkClosed`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import socket
import struct
from collections.abc import Callable
from time import monotonic_ns
from typing import Any, Protocol

from rabbitry.machine import (
    Address,
    BytesReceived,
    Event,
    LinkClosed,
    LinkFinished,
    LinkOpened,
    WritingPaused,
    WritingResumed,
)
from rabbitry.runtime.links import (
    LINGER_S,
    WRITE_HIGH_WATER_BYTES,
    WRITE_LOW_WATER_BYTES,
    address_of,
    reason_of,
)
from rabbitry.runtime.poller import Poller

BUFFER_BYTES = 128 * 1024
"""One read. Larger ones leave the processor's cache between reading and sending."""

DRAIN_S = 30.0
"""How long a joined link that is being closed waits for a peer that takes nothing of what waits.

A consumer may pause; what its server sent before it ended is still its own.
"""

RESET_GRACE_S = 0.2
"""How long the other side may still end in order when a peer that had finished resets the link."""

READS_TO_THE_END_MAX = 64
"""How often a link is read in one turn when its peer has finished: others have their turn, too."""

BUFFER = bytearray(BUFFER_BYTES)
VIEW = memoryview(BUFFER)
"""What was read last; all links of a process share it, since nothing stays in it."""

_RESET_AT_CLOSE = struct.pack("ii", 1, 0)
"""SO_LINGER for a close that drops what waits and resets."""

# A FIN behind the bytes is told with them (EPOLLRDHUP), so that both can be passed on in one turn.
_FINISH = select.EPOLLRDHUP if hasattr(select, "epoll") else 8192
EVENT_IN = select.EPOLLIN if hasattr(select, "epoll") else 1
MASK_IN = EVENT_IN | _FINISH
_OUT = select.EPOLLOUT if hasattr(select, "epoll") else 4
_BROKEN = (select.EPOLLERR | select.EPOLLHUP) if hasattr(select, "epoll") else 24
_ERROR = 8  # EPOLLERR
_UNWATCHED = -1


class Owner(Protocol):
    """What a plain link needs of its hand."""

    loop: asyncio.AbstractEventLoop
    poller: Poller

    @property
    def take(self) -> Callable[[Event], None]:
        """Hand an event to the machine."""
        ...

    def link_made(self, link: Any) -> bool:
        """Say whether a link that has just connected is wanted, and give it its number."""
        ...

    def link_lost(self, link: Any) -> None:
        """Forget a link that is gone."""
        ...


class PlainLink:
    """One link, accepted (`listener` is its listener's name) or opened (`listener` is empty)."""

    __slots__ = (
        "_active_at",
        "_broken",
        "_closing",
        "_connecting",
        "_fd",
        "_finish_received",
        "_finish_sent",
        "_finishing",
        "_gone",
        "_held",
        "_linger",
        "_mask",
        "_out",
        "_owner",
        "_peer",
        "_sock",
        "_writing_paused",
        "listener",
        "number",
    )

    def __init__(
        self,
        owner: Owner,
        sock: socket.SocketType,
        listener: str,
        number: int,
        *,
        connecting: bool,
        peer: Address | None = None,
    ) -> None:
        """`connecting`: `connect` is under way, else the socket is connected; see `begin`.

        `peer` is the other side's address; without, the system is asked.
        """
        self._peer = peer
        self._owner = owner
        self._sock = sock
        self._fd = sock.fileno()
        self.listener = listener
        self.number = number
        self._connecting = connecting
        self._held = False  # the machine wants nothing read
        self._closing = False
        self._finishing = False  # a FIN follows what waits
        self._finish_sent = False
        self._finish_received = False
        self._gone = False
        self._broken: str | None = None  # why nothing can be written
        self._out = b""
        self._writing_paused = False
        self._mask = _UNWATCHED
        self._active_at = 0
        self._linger: asyncio.TimerHandle | None = None

    # --- what the machine wants -----------------------------------------------------------------

    def begin(self, local: Address | None = None) -> None:
        """Wait for the socket; one that is connected already is told as opened.

        `local` is our side's address; without, the system is asked.
        """
        if self._connecting:
            self._look()
        else:
            self._opened(local)

    def write(self, data: bytes) -> None:
        """Send bytes, or keep them until the socket takes them."""
        if self._finishing or self._closing or self._gone or self._broken is not None:
            return
        if not self.full():
            try:
                sent = self._sock.send(data)
            except (BlockingIOError, InterruptedError):
                sent = 0
            except OSError as error:
                self._break(error)
                return
            if sent:
                self._active_at = monotonic_ns() // 1000
                if sent == len(data):
                    return
                data = data[sent:]
        self._out += data
        self._look()
        if len(self._out) > WRITE_HIGH_WATER_BYTES and not self._writing_paused:
            self._writing_paused = True
            self._pace(WritingPaused(self.number))

    def finish(self) -> None:
        """Send a FIN after what waits; close when the peer has finished too."""
        if not (self._closing or self._finishing or self._gone):
            self._finishing = True
            if not self.full():
                self._shut_down_sending()

    def close(self) -> None:
        """Close in order: send what waits, let the peer take it, but not for ever."""
        if self._closing or self._gone:
            return
        self._closing = True
        if self._finish_received and not self.full():
            self._lose("")  # as most do: both sides have said all
            return
        if self.full():
            self._await_peer()
            self._look()
        else:
            self._all_sent()

    def abort(self) -> None:
        """Close at once, whatever waits: the peer hears of a reset, not of an end in order, for it
        may not have got all.
        """
        self._closing = True
        with contextlib.suppress(OSError):
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_CLOSE)
        self._lose("")

    def pause_reading(self) -> None:
        """Take no more bytes from the socket."""
        self._held = True
        self._look()

    def resume_reading(self) -> None:
        """Take bytes from the socket again."""
        self._held = False
        self._look()

    def full(self) -> bool:
        """Whether something waits for the socket to take it."""
        return bool(self._out)

    def waiting_bytes(self) -> int:
        """Return how many bytes wait for the socket to take them."""
        return len(self._out)

    # --- what the socket tells ------------------------------------------------------------------

    def ready(self, events: int) -> None:
        """Hear from the poller that something can be done, or has broken."""
        if self._connecting:
            if events & _BROKEN:
                self._connected()
            else:  # writable, and not for an error
                self._opened()
            return
        if events & (_OUT | _BROKEN) and self.full():
            self._drain()
            if self._gone:
                return
        if self._reads():
            if events & _ERROR and self.listener and not (self._closing or self._is_patient()):
                self._read_before_reset()
            elif events & (MASK_IN | _BROKEN):
                self._read()
                if events & _FINISH:
                    self._read_to_the_end()
        elif events & _BROKEN:
            self._hung_up()

    def _reads(self) -> bool:
        return self._mask > 0 and self._mask & MASK_IN > 0

    def _read_to_the_end(self) -> None:
        """Read what came before a FIN, and the FIN, as far as the partner takes it.

        Who closes its socket at once resets the link when we send it more: what it said before is
        an orderly end all the same, if we have passed it on by then.
        """
        for _ in range(READS_TO_THE_END_MAX):
            if self._gone or not self._reads():
                return
            self._read()

    def _connected(self) -> None:
        error = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            self._lose(os.strerror(error))
        else:
            self._opened()

    def _opened(self, local: Address | None = None) -> None:
        self._connecting = False
        if not self._owner.link_made(self):
            self._gone = True
            self._owner.poller.close(self._sock)
            return
        peer, self._peer = self._peer, None
        try:
            if peer is None:
                peer = address_of(self._sock.getpeername())
            if local is None and self.listener:
                local = address_of(self._sock.getsockname())
        except OSError as error:  # gone between its coming and our asking
            self._owner.take(LinkOpened(self.number, self.listener, address_of(None)))
            self._lose(reason_of(error))
            return
        self._owner.take(LinkOpened(self.number, self.listener, peer, None, local))
        self._look()  # after the step, which may want nothing read

    def _read(self) -> None:
        try:
            size = self._sock.recv_into(BUFFER)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._lose(self._broken or reason_of(error))
            return
        if not size:
            self._finished()
        elif not self._closing:  # else it is read only so that no reset is provoked
            self._bring(size)

    def _read_before_reset(self) -> None:
        """Read what a client said last: the machine hears both at once, and begins nothing."""
        try:
            size = self._sock.recv_into(BUFFER)
        except OSError as failure:
            self._lose(reason_of(failure))
            return
        if size == BUFFER_BYTES:
            self._bring(size)  # there may be more
            return
        error = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        self._lose(os.strerror(error), bytes(VIEW[:size]))

    def _bring(self, size: int) -> None:
        """Hand over what is in the buffer."""
        self._owner.take(BytesReceived(self.number, bytes(VIEW[:size])))

    def _pace(self, event: WritingPaused | WritingResumed) -> None:
        """Tell that writing is to be paused or resumed."""
        self._owner.take(event)

    def _may_read(self) -> bool:
        """Whether what comes is wanted now."""
        return not self._held

    def _is_patient(self) -> bool:
        """Whether what came before the link broke is to be read first, however long it takes."""
        return False

    def _made_room(self) -> None:
        """Nothing waits for the socket any more, or nothing ever will."""

    # --- sending what waits ---------------------------------------------------------------------

    def _drain(self) -> None:
        if self._out:
            try:
                sent = self._sock.send(self._out)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                self._break(error)
                return
            self._active_at = monotonic_ns() // 1000
            self._out = self._out[sent:]
            if self._writing_paused and len(self._out) <= WRITE_LOW_WATER_BYTES:
                self._writing_paused = False
                if not self._closing:
                    self._pace(WritingResumed(self.number))
        if self.full() or self._gone or self._broken is not None:
            return
        self._look()
        self._made_room()
        if self._closing:
            self._all_sent()
        elif self._finishing and not self._finish_sent:
            self._shut_down_sending()

    def _shut_down_sending(self) -> None:
        self._finish_sent = True
        if self._finish_received:
            self.close()  # both have said all: the close of the socket sends the FIN
            return
        try:
            self._sock.shutdown(socket.SHUT_WR)
        except OSError as error:
            self._break(error)

    def _all_sent(self) -> None:
        """Close, when the peer has finished: nothing unread can be left, so no reset follows."""
        if self._finish_received or self._broken is not None:
            self._lose("")
            return
        if not self._finish_sent:
            self._finishing = True
            self._shut_down_sending()
        if not self._gone:
            self._await_peer()
            self._look()

    # --- the end --------------------------------------------------------------------------------

    def _finished(self) -> None:
        """The peer has sent its last byte."""
        if self._broken is not None:
            self._lose(self._broken)
            return
        self._finish_received = True
        if self._closing:
            if self.full():
                self._look()
            else:
                self._lose("")
            return
        self._tell(LinkFinished(self.number))
        if self._finish_sent and not self._closing:
            self.close()
        self._look()  # last, for there may be nothing left to look for

    def _break(self, error: OSError) -> None:
        """Nothing can be written any more; what the peer sent before is still read."""
        if self._gone or self._broken is not None:
            return
        self._broken = reason_of(error)
        self._drop_waiting()
        if self._finish_received or self._closing or (self._held and not self._is_patient()):
            self._lose("" if self._closing else self._broken)
            return
        self._look()
        self._made_room()

    def _hung_up(self) -> None:
        """The socket has broken or ended, and nothing is to be read of it now."""
        if self._is_patient() and not self._finish_received:
            self._unwatch()
            return
        error = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error and self._finish_received and not self._closing and self._linger is None:
            # Who closes after its FIN resets what we still send, as a server's goodbye. If the
            # server's end is on its way too, that was an orderly end.
            self._unwatch()
            self._linger = self._owner.loop.call_later(
                RESET_GRACE_S, self._lose, os.strerror(error)
            )
        elif error or self._finish_received:
            self._lose("" if self._closing or not error else os.strerror(error))
        else:
            self._unwatch()

    def _lose(self, reason: str, data: bytes = b"") -> None:
        """Close the socket and tell `LinkClosed`, once, with what came right before."""
        if self._gone:
            return
        self._gone = True
        if self._linger is not None:
            self._linger.cancel()
            self._linger = None
        was_full = self.full()
        self._drop_waiting()
        self._mask = _UNWATCHED
        self._owner.poller.close(self._sock)
        self._owner.link_lost(self)
        if was_full:
            self._made_room()
        self._tell(LinkClosed(self.number, reason, data=data))

    def _tell(self, event: LinkFinished | LinkClosed) -> None:
        """Tell the end of a direction or of the link."""
        self._owner.take(event)

    def _drop_waiting(self) -> None:
        self._out = b""

    def _await_peer(self) -> None:
        if self._linger is not None:
            self._linger.cancel()
        patience_s = DRAIN_S if self.full() and self._is_patient() else LINGER_S
        self._linger = self._owner.loop.call_later(
            patience_s, self._lose_patience, self.waiting_bytes()
        )

    def _lose_patience(self, waiting_bytes: int) -> None:
        """Wait on for a peer that goes on taking what waits, only for such a one."""
        if self.waiting_bytes() < waiting_bytes:
            self._await_peer()
        else:
            self._lose("")

    # --- what the poller is to look for ---------------------------------------------------------

    def _look(self) -> None:
        if self._gone:
            return
        mask = _OUT if self._connecting or self.full() else 0
        if not (self._connecting or self._finish_received) and (self._closing or self._may_read()):
            mask |= MASK_IN
        if mask != self._mask:
            if self._mask == _UNWATCHED:
                self._owner.poller.watch(self._fd, mask, self.ready)
            else:
                self._owner.poller.change(self._fd, mask)
            self._mask = mask

    def _unwatch(self) -> None:
        self._owner.poller.forget(self._fd)
        self._mask = _UNWATCHED
