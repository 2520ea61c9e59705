"""TLS over a transport of asyncio, each direction with an end of its own.

Owns the handshake and the records of one link, by `ssl` on memory (OpenSSL does the cryptography).
asyncio's and uvloop's own TLS close both directions as soon as either side says goodbye: whatever
waited then is dropped. A balancer must not do that: a client that has finished sending waits for
its answer. TLS 1.3 has half-close by its nature, and OpenSSL allows it in 1.2.

The hard part: OpenSSL's `SSL_shutdown`, which Python calls twice, looks for the peer's goodbye the
second time, and throws away data that it finds instead. So our goodbye is only said when all that
has come is read; where reading is paused, it waits until it is resumed (`test_goodbye_waits`).

Invariants: the link hears of a connection only after its handshake, and of its end exactly once;
what was written before `write_eof` or `close` reaches the peer before the goodbye.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Callable
from typing import Any, cast

from rabbitry.machine import LinkTls
from rabbitry.runtime.links import reason_of
from rabbitry.runtime.server_names import is_named

READ_BYTES = 256 * 1024


class HandshakeFailed(ConnectionError):
    """A link was connected, but its TLS could not begin; the text says why."""


class Sessions:
    """The last session with each server, so that the next handshake costs no new key."""

    def __init__(self) -> None:
        self._sessions: dict[object, ssl.SSLSession] = {}

    def of(self, server: object) -> ssl.SSLSession | None:
        """Return what a link to this server may go on with."""
        return self._sessions.get(server)

    def keep(self, server: object, session: ssl.SSLSession | None) -> None:
        """Keep the session of a link that has ended."""
        if session is not None:
            self._sessions[server] = session


class TlsTransport(asyncio.Transport):
    """What a link talks to; `_Below` is what the transport below talks to."""

    def __init__(
        self,
        make_link: Callable[[], asyncio.Protocol],
        context: ssl.SSLContext,
        *,
        server_hostname: str | None,
        handshake_s: float,
        verify_name: str = "",
        sessions: tuple[Sessions, object] | None = None,
    ) -> None:
        """`server_hostname` is None on the side of a server, `verify_name` whom the peer's
        certificate must be for, if anybody; `sessions` are those with servers, and which this is.
        Call in the running loop.
        """
        super().__init__()
        self._loop = asyncio.get_running_loop()
        self._make_link = make_link
        self._link: asyncio.Protocol | None = None
        # An end without a goodbye, which many clients have, is an end; OpenSSL 3 would let nothing
        # be sent after it. Whether all has come is for the protocol inside to know.
        context.options |= ssl.OP_IGNORE_UNEXPECTED_EOF
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(
            self._incoming,
            self._outgoing,
            server_side=server_hostname is None,
            server_hostname=server_hostname or None,
            session=sessions[0].of(sessions[1]) if sessions is not None else None,
        )
        self._sessions = sessions
        self.done: asyncio.Future[None] = self._loop.create_future()
        self._handshake_s = handshake_s
        self._verify_name = verify_name
        self._below: asyncio.Transport
        self._paused = False
        self._answered = False  # in the handshake: the peer's first word has come, and was one
        self._unread = False  # there may be more in `_incoming` or in OpenSSL
        self._finish_received = False
        self._finish_wanted = False
        self._finish_sent = False
        self._below_finished = False
        self._closing = False
        self._lost = False
        self._error: Exception | None = None

    # --- what the transport below tells ---------------------------------------------------------

    def begin(self, below: asyncio.Transport) -> None:
        """The transport below is there: shake hands."""
        self._below = below
        self._timer = self._loop.call_later(self._handshake_s, self._too_slow)
        self._shake_hands()

    def _too_slow(self) -> None:
        self._fail(ConnectionAbortedError("the TLS handshake took too long"))

    def _shake_hands(self) -> None:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._answered = self._answered or self._outgoing.pending > 0
            self._flush()
            return
        except (ssl.SSLError, ssl.CertificateError) as error:
            self._flush()  # the alert that tells the peer why
            self._fail(error)
            return
        self._flush()
        if self._verify_name and not is_named(self._tls.getpeercert() or {}, self._verify_name):
            text = f"the server's certificate is not for {self._verify_name}"
            self._fail(ConnectionAbortedError(text))
            return
        self._timer.cancel()
        self._link = self._make_link()
        self._link.connection_made(self)
        if not self.done.done():
            self.done.set_result(None)
        self._read()

    def came(self, data: bytes) -> None:
        """Records have come, cut anywhere."""
        self._incoming.write(data)
        if self._link is None:
            self._shake_hands()
        else:
            self._read()

    def came_to_an_end(self) -> None:
        """The peer has finished sending below TLS, with or without a goodbye."""
        self._below_finished = True
        self._incoming.write_eof()
        if self._link is None:
            self._fail(self._left())
        else:
            self._read()

    def lost(self, error: Exception | None) -> None:
        """The transport below is gone."""
        self._closing = self._lost = True
        self._timer.cancel()
        if self._sessions is not None and self._link is not None:
            self._sessions[0].keep(self._sessions[1], self._tls.session)
        if not self.done.done():
            if self._error is None and (error is None or self._answered):
                self._error = self._left()
            self.done.set_exception(self._error or error or self._left())
        if self._link is not None:
            self._link.connection_lost(self._error or error)

    def _left(self) -> OSError:
        """What it is that the peer has gone within its handshake."""
        if self._answered:
            return ssl.SSLEOFError(ssl.SSL_ERROR_EOF, "the peer has left its handshake")
        return ConnectionResetError("the connection was closed in the TLS handshake")

    def pace(self, paused: bool) -> None:
        """The transport below holds much, or little again."""
        if self._link is not None:
            (self._link.pause_writing if paused else self._link.resume_writing)()

    # --- reading --------------------------------------------------------------------------------

    def _read(self) -> None:
        """Hand over what has come, as long as it is wanted."""
        assert self._link is not None
        self._unread = True
        while not (self._paused or self._closing or self._finish_received):
            try:
                data = self._tls.read(READ_BYTES)
            except ssl.SSLWantReadError:
                self._unread = False
                break
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                data = b""
            except ssl.SSLError as error:
                self._fail(error)
                return
            if not data:  # a goodbye, or an end without one
                self._unread = False
                self._finish_received = True
                if not self._link.eof_received():
                    self.close()
                break
            self._link.data_received(data)
        self._flush()  # answers of the protocol itself
        self._say_goodbye()

    def pause_reading(self) -> None:
        """Hand over nothing until `resume_reading`."""
        if not self._paused:
            self._paused = True
            if not (self._below_finished or self._below.is_closing()):
                self._below.pause_reading()

    def resume_reading(self) -> None:
        """Hand over what has come, and what comes."""
        if self._paused:
            self._paused = False
            if not (self._below_finished or self._below.is_closing()):
                self._below.resume_reading()
            if self._unread:
                self._loop.call_soon(self._read_again)

    def _read_again(self) -> None:
        if not self._closing:
            self._read()

    def is_reading(self) -> bool:
        """Whether what comes is handed over."""
        return not self._paused

    # --- writing --------------------------------------------------------------------------------

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send this; dropped once the end was said."""
        if self._closing or self._finish_wanted or not data:
            return
        try:
            self._tls.write(data)
        except ssl.SSLError as error:
            self._fail(error)
            return
        self._flush()

    def _flush(self) -> None:
        data = self._outgoing.read()
        if data and not self._below.is_closing():
            self._below.write(data)

    def write_eof(self) -> None:
        """Say that nothing more will be sent; the other direction is open still."""
        self._finish_wanted = True
        self._say_goodbye()

    def can_write_eof(self) -> bool:
        """It can, which is what this module is for."""
        return True

    def _say_goodbye(self, *, at_once: bool = False) -> None:
        if not self._finish_wanted or self._finish_sent or (self._unread and not at_once):
            return
        self._finish_sent = True
        with contextlib.suppress(ssl.SSLError):  # it waits for the peer's, which may come late
            self._tls.unwrap()
        self._flush()

    # --- the end --------------------------------------------------------------------------------

    def close(self) -> None:
        """Send what waits and a goodbye, then close."""
        if not self._closing:
            self._finish_wanted = True
            self._say_goodbye(at_once=True)
            self._closing = True
            self._below.close()

    def abort(self) -> None:
        """Close at once, whatever waits."""
        self._closing = True
        if not self._lost:
            self._below.abort()

    def is_closing(self) -> bool:
        """Whether it is closed, or about to be."""
        return self._closing or self._below.is_closing()

    def _fail(self, error: Exception) -> None:
        self._error = self._error or error
        self._closing = True
        self._below.close() if self._link is None else self._below.abort()

    # --- of the transport below -----------------------------------------------------------------

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """See `asyncio.WriteTransport`."""
        self._below.set_write_buffer_limits(high=high, low=low)

    def get_write_buffer_size(self) -> int:
        """How much waits for the socket."""
        return self._below.get_write_buffer_size()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """See `asyncio.BaseTransport`; `peercert` is the peer's certificate, `session_resumed`
        whether this goes on with an earlier session.
        """
        if name == "peercert":
            return self._tls.getpeercert()
        if name == "session_resumed":
            return self._tls.session_reused
        return self._below.get_extra_info(name, default)


class _Below(asyncio.Protocol):
    """Passes on what the transport below tells."""

    def __init__(self, above: TlsTransport) -> None:
        self._above = above

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._above.begin(cast(asyncio.Transport, transport))

    def data_received(self, data: bytes) -> None:
        self._above.came(data)

    def eof_received(self) -> bool:
        self._above.came_to_an_end()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._above.lost(exc)

    def pause_writing(self) -> None:
        self._above.pace(True)

    def resume_writing(self) -> None:
        self._above.pace(False)


async def accept_tls(
    sock: Any,
    make_link: Callable[[], asyncio.Protocol],
    context: ssl.SSLContext,
    handshake_s: float,
) -> None:
    """Make a link out of an accepted socket; return when the handshake is done.

    Raises `OSError` (`ssl.SSLError` among them) if it fails.
    """
    above = TlsTransport(make_link, context, server_hostname=None, handshake_s=handshake_s)
    await above._loop.connect_accepted_socket(lambda: _Below(above), sock)
    await above.done


async def connect_tls(
    sock: Any,
    make_link: Callable[[], asyncio.Protocol],
    context: ssl.SSLContext,
    tls: LinkTls,
    handshake_s: float,
    sessions: tuple[Sessions, object] | None = None,
) -> None:
    """Make a link out of a connected socket, on the client's side.

    Raises `HandshakeFailed`.
    """
    above = TlsTransport(
        make_link,
        context,
        server_hostname=tls.sni,
        handshake_s=handshake_s,
        verify_name=(tls.sni or tls.verify_host) if tls.verify else "",
        sessions=sessions,
    )
    try:
        await above._loop.create_connection(lambda: _Below(above), sock=sock)
        await above.done
    except OSError as error:
        raise HandshakeFailed(_why(error)) from error


def _why(error: OSError) -> str:
    """Say why a handshake failed: OpenSSL's words for it, or the system's."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate verify failed: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        # One that was not made by OpenSSL has no `reason`.
        return str(getattr(error, "reason", None) or error.strerror).lower().replace("_", " ")
    return reason_of(error)
