"""One TCP link of a driver: the asyncio protocol between a transport and a machine's events.

Owns the life of one link: opened once, bytes in, finished at most once, closed exactly once, and
the way an orderly close is carried out. Knows nothing of machines: it hands events to the driver's
`take`.

An orderly close (`close`) sends what waits, then a FIN, and keeps reading (and dropping what it
reads) until the peer closes too or `LINGER_S` have passed. Closing the socket at once would not do:
with unread bytes in the receive buffer the kernel answers with a reset, and the reset destroys what
the peer has not read yet, which is just the `connection.close` that tells it why. Under TLS the
transport does the like, with close_notify for FIN.

No link keeps the machine for much longer than `TURN_S`. One read may bring 256 kB: publishes, which
cost it a few milliseconds, or seven thousand questions, which cost it a hundred, while nobody else
is served. So bytes are handed over in slices; one that took too long makes the following ones
shorter in proportion, each whole one that did not makes them a little longer, and after each the
other links have their turn. (docs/decisions/0051)

Invariants: after `close` the machine hears nothing of the link but `LinkClosed`; nothing is told
after `LinkClosed`.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Callable
from typing import Any, Protocol, cast

from rabbitry.machine import (
    Address,
    BytesReceived,
    Event,
    LinkClosed,
    LinkFinished,
    LinkOpened,
    LinkOptions,
    WritingPaused,
    WritingResumed,
)

WRITE_HIGH_WATER_BYTES = 4 * 1024 * 1024
"""Bytes waiting for one link before its machine hears `WritingPaused`.

A queue under load sends some 100 kB to 1 MB in one step; a mark below that would pause and resume
on every step, one far above lets a thousand stalled consumers fill the memory of a node.
"""

WRITE_LOW_WATER_BYTES = 1024 * 1024
"""Bytes still waiting at `WritingResumed`: enough that the socket stays busy until more come."""

TURN_S = 0.005
"""How long a link may keep the machine before the others have their turn."""

SLICE_BYTES_MIN = 4096
SLICE_BYTES_MAX = 256 * 1024
"""What is handed over at once: at most what one read brings, at least one short answer's worth."""

SLICE_BYTES_AT_FIRST = 64 * 1024
SLICE_GROWTH_BYTES = 8 * 1024

LINGER_S = 3.0
"""How long an orderly close waits for the peer to take what was sent and to close its side."""


class Owner(Protocol):
    """What a link needs of its driver."""

    loop: asyncio.AbstractEventLoop

    def take(self, event: Event) -> None:
        """Hand an event to the machine, now or after the step that is running."""
        ...

    def link_made(self, link: Any) -> bool:
        """Say whether a link that has just connected is wanted, and give it its number."""
        ...

    def link_lost(self, link: Any) -> None:
        """Forget a link that is gone."""
        ...


class Link(asyncio.Protocol):
    """One link, accepted (`listener` is its listener's name) or opened (`listener` is empty)."""

    __slots__ = (
        "_closing",
        "_finish_received",
        "_finish_sent",
        "_half_closes",
        "_held",
        "_linger",
        "_name_peer",
        "_owner",
        "_rest",
        "_resting",
        "_silent",
        "_slice_bytes",
        "listener",
        "number",
        "transport",
        "write",
    )

    transport: asyncio.Transport
    write: Callable[[bytes], None]

    def __init__(
        self,
        owner: Owner,
        listener: str,
        number: int,
        name_peer: Callable[[dict[str, Any] | None], str | None] | None = None,
    ) -> None:
        """`name_peer` says whom a peer's TLS certificate names; None for a link without TLS."""
        self._owner = owner
        self.listener = listener
        self.number = number
        self._closing = False
        self._held = False  # the machine wants nothing read
        self._resting = False  # others have their turn first
        self._rest = b""  # read, and not handed over yet; nothing is read meanwhile
        self._slice_bytes = SLICE_BYTES_AT_FIRST
        self._silent = False
        self._name_peer = name_peer
        self._half_closes = name_peer is None
        self._finish_received = False
        self._finish_sent = False
        self._linger: asyncio.TimerHandle | None = None

    # --- what the transport tells ---------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Tell `LinkOpened`, or drop a link that nobody wants any more."""
        # uvloop's transports have the interface of `asyncio.Transport` without deriving from it.
        self.transport = transport = cast(asyncio.Transport, transport)
        self.write = transport.write
        if not self._owner.link_made(self):
            self._silent = True
            transport.abort()
            return
        transport.set_write_buffer_limits(high=WRITE_HIGH_WATER_BYTES, low=WRITE_LOW_WATER_BYTES)
        address = address_of(transport.get_extra_info("peername"))
        local = address_of(transport.get_extra_info("sockname")) if self.listener else None
        name = None
        if self._name_peer is not None:
            name = self._name_peer(transport.get_extra_info("peercert"))
        resumed = transport.get_extra_info("session_resumed")
        self._owner.take(LinkOpened(self.number, self.listener, address, name, local, resumed))

    def data_received(self, data: bytes) -> None:
        """Tell `BytesReceived`: one read, one step, unless steps take too long."""
        if self._closing:
            return
        if self._rest or self._held:
            # A transport that does not stop at once when it is told to. uvloop's begins to read
            # after `connection_made`, whatever it was told there.
            self._rest += data
            if self._held and not self._resting:
                self._pause()
            return
        if self._hand_over(data):
            if not (self._held or self._resting):
                self._pause()
            self._wait_a_turn()

    def _hand_over(self, data: bytes) -> bool:
        """Give the machine as much as it may take at once; True: now the others have their turn."""
        if len(data) > self._slice_bytes:
            self._rest = data[self._slice_bytes :]
            data = data[: self._slice_bytes]
        began = time.monotonic()
        self._owner.take(BytesReceived(self.number, data))
        took_s = time.monotonic() - began
        if took_s > TURN_S:
            fitting = int(len(data) * TURN_S / took_s)
            self._slice_bytes = min(max(fitting, SLICE_BYTES_MIN), SLICE_BYTES_MAX)
            # Also where nothing is left: libuv reads one ready socket up to 32 times before it
            # looks at the others.
            return True
        if self._rest:
            self._slice_bytes = min(self._slice_bytes + SLICE_GROWTH_BYTES, SLICE_BYTES_MAX)
            return True
        return False

    def _wait_a_turn(self) -> None:
        if not self._resting:
            self._resting = True
            self._owner.loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        """The others have had their turn."""
        self._resting = False
        if self._held or self._closing:
            return
        if self._rest:
            data, self._rest = self._rest, b""
            self._resting = True  # reading stays as it is, whatever the machine wants meanwhile
            more = self._hand_over(data)
            self._resting = False
            if more:
                self._wait_a_turn()
                return
        if not self._held:
            self._resume()

    def eof_received(self) -> bool:
        """Tell `LinkFinished`; return whether our direction stays open, which TLS does not let."""
        if self._closing or self._finish_received:
            return False
        self._finish_received = True
        if self._rest:  # a TLS transport; one of TCP reads no end while it is paused
            data, self._rest = self._rest, b""
            self._owner.take(BytesReceived(self.number, data))
        self.tell(LinkFinished(self.number))
        if self._finish_sent and not self._closing:
            self.close()
        return self._half_closes

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell `LinkClosed`."""
        self._closing = True
        if self._linger is not None:
            self._linger.cancel()
            self._linger = None
        if not self._silent:
            self._silent = True
            self._owner.link_lost(self)
            self.tell(LinkClosed(self.number, reason_of(exc)))

    def tell(self, event: LinkFinished | LinkClosed) -> None:
        """Tell the end of a direction or of the link."""
        self._owner.take(event)

    def pause_writing(self) -> None:
        """Tell `WritingPaused`."""
        if not self._closing:
            self._owner.take(WritingPaused(self.number))

    def resume_writing(self) -> None:
        """Tell `WritingResumed`."""
        if not self._closing:
            self._owner.take(WritingResumed(self.number))

    # --- what the driver wants ------------------------------------------------------------------

    def finish(self) -> None:
        """Send a FIN after what waits; close when the peer has finished too."""
        if self._closing or self._finish_sent:
            return
        if not self._half_closes:
            self.close()
            return
        self._finish_sent = True
        self.write = _drop  # a transport would raise, and a link that is gone drops it as well
        if self._finish_received:
            self.close()
        else:
            self._shut_down_sending()

    def close(self) -> None:
        """Close in order: send what waits, let the peer take it, but not for ever."""
        if self._closing:
            return
        self._closing = True
        self._rest = b""
        self._linger = self._owner.loop.call_later(LINGER_S, self.transport.abort)
        if self._finish_received:
            self.transport.close()  # nothing unread can be left, so no reset can follow
            return
        if not self._half_closes:
            # asyncio's TLS has no half-close: it says goodbye, and reads until the peer did too.
            self.transport.resume_reading()
            self.transport.close()
            return
        if not self._finish_sent:
            self._shut_down_sending()
        if not self.transport.is_closing():
            self.transport.resume_reading()

    def abort(self) -> None:
        """Close at once, whatever waits."""
        self._closing = True
        self.transport.abort()

    def pause_reading(self) -> None:
        """Take no more bytes from the socket."""
        self._held = True
        if not self._resting:
            self._pause()

    def resume_reading(self) -> None:
        """Take bytes from the socket again."""
        self._held = False
        if self._rest:
            self._wait_a_turn()
        elif not self._resting:
            self._resume()

    def _pause(self) -> None:
        # After the peer's FIN there is nothing to pause, and resuming would read the FIN again.
        if not (self._closing or self._finish_received or self.transport.is_closing()):
            self.transport.pause_reading()

    def _resume(self) -> None:
        if not (self._closing or self._finish_received or self.transport.is_closing()):
            self.transport.resume_reading()

    def _shut_down_sending(self) -> None:
        if not self.transport.is_closing():
            try:
                self.transport.write_eof()
            except OSError:  # the peer has reset the link; `connection_lost` is on its way
                self.transport.abort()


def _drop(data: bytes) -> None:
    """Stand in for `write` where nothing can be sent any more."""


def reason_of(exc: BaseException | None) -> str:
    """Say in a few words why a link ended; empty for an orderly end."""
    if exc is None:
        return ""
    if isinstance(exc, socket.gaierror):
        return str(exc.strerror or exc)
    if isinstance(exc, OSError) and exc.errno:
        return os.strerror(exc.errno)
    return str(exc) or type(exc).__name__


def address_of(name: Any) -> Address:
    """Return what `getsockname` or `getpeername` says as an address.

    A Unix socket without a name, which clients have, is "" and 0; an abstract one begins with "@".
    """
    if isinstance(name, tuple):
        return Address(name[0], name[1])
    if isinstance(name, bytes):
        name = "@" + name[1:].decode("utf-8", "replace")
    return Address(name or "", 0)


def set_up_socket(sock: socket.socket) -> None:
    """Make a TCP socket fit for a link."""
    # Buffer sizes are left to the kernel: reads come in 250 kB on average under load as it is, and
    # setting SO_RCVBUF, which ends its own tuning, made nothing faster.
    sock.setblocking(False)
    # A step's answer goes out as one write; waiting for the peer's ACK would only delay the rest.
    if sock.family != socket.AF_UNIX:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def set_options(sock: socket.SocketType, options: LinkOptions) -> None:
    """Give a socket what TCP has of these options. Raises OSError."""
    if sock.family == socket.AF_UNIX:
        return
    if options.keepalive:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in (
            ("TCP_KEEPIDLE", options.keepalive_idle_s),
            ("TCP_KEEPINTVL", options.keepalive_interval_s),
            ("TCP_KEEPCNT", options.keepalive_count),
        ):
            if value and hasattr(socket, name):
                sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    if options.tcp_user_timeout_ms and hasattr(socket, "TCP_USER_TIMEOUT"):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, options.tcp_user_timeout_ms)
