"""The hand of a driver: the listeners and links of one process, as a machine's effects want them.

Owns the numbers of links that peers open, which links can be sent to (`links`), which are being
closed, and which are still being opened. All links are transports of asyncio here;
`joining_hand` has the balancer's, whose links can be joined. Knows of machines only `take`, which
an event is handed to.

Invariant: `LinkClosed` comes exactly once for each link that was opened or asked for.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from typing import Any, Protocol

from rabbitry.machine import (
    Address,
    CloseLink,
    Effect,
    Event,
    FinishLink,
    LinkClosed,
    ListenerOpened,
    OpenLink,
    PauseListening,
    PauseReading,
    ResumeListening,
    ResumeReading,
    StopListening,
)
from rabbitry.runtime.descriptors import COMPLAINT_PAUSE_S
from rabbitry.runtime.links import LINGER_S, Link, address_of, reason_of
from rabbitry.runtime.listeners import (
    ACCEPTS_PER_TURN_MAX,
    Listener,
    ListenFailed,
    ListenOptions,
    bind,
)
from rabbitry.runtime.tls import HANDSHAKE_S, Tls, TlsSettings
from rabbitry.runtime.tls_transport import HandshakeFailed

Take = Callable[[Event], None]
Tell = Callable[[str, str, dict[str, object]], None]
Steering = PauseListening | ResumeListening | StopListening


class Usable(Protocol):
    """What a hand does with a link that is open, whatever carries its bytes."""

    number: int
    listener: str

    @property
    def write(self) -> Callable[[bytes], None]:
        """Send bytes, or keep them until the socket takes them."""
        ...

    def finish(self) -> None:
        """Send a FIN after what waits."""
        ...

    def close(self) -> None:
        """Close in order."""
        ...

    def abort(self) -> None:
        """Close at once."""
        ...

    def pause_reading(self) -> None:
        """Take no more bytes from the socket."""
        ...

    def resume_reading(self) -> None:
        """Take bytes again."""
        ...


HANDSHAKE_FAILED = "TLS handshake failed"


class Hand:
    """Links of this process. `serve` before all else, in the running loop.

    Links that peers open are numbered from `first_link` on, each `step` more than the one before.
    """

    loop: asyncio.AbstractEventLoop
    take: Take
    tell: Tell
    accepts_per_turn_max = ACCEPTS_PER_TURN_MAX

    def __init__(self, first_link: int = 1, step: int = 1) -> None:
        self.links: dict[int, Usable] = {}
        self._closing: dict[int, Usable] = {}
        self._opening: dict[int, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._listeners: dict[str, Listener] = {}
        self._told_to_pause: dict[str, None] = {}
        self.steer_elsewhere: Callable[[Steering], None] = lambda effect: None
        """Hears what the machine wants of listeners that are not here."""
        self._shut = False
        self._complained_at: dict[str, float] = {}
        self._next_link = first_link
        self._step = step
        self._ended = False

    def serve(self, take: Take, tell: Tell) -> None:
        """Hand events to `take` from now on; `tell` people a level, what happened, details."""
        self.loop = asyncio.get_running_loop()
        self.take = take
        self.tell = tell
        self._all_links_gone = asyncio.Event()

    def acts(self) -> dict[type[Effect], Callable[[Any], None]]:
        """Return what carries out each effect that concerns links and listeners."""
        return {
            OpenLink: self.open_link,
            FinishLink: self.finish_link,
            CloseLink: self.close_link,
            PauseReading: self.pause_reading,
            ResumeReading: self.resume_reading,
            PauseListening: self.pause_listening,
            ResumeListening: self.resume_listening,
            StopListening: self._stop_listening,
        }

    # --- listeners ------------------------------------------------------------------------------

    async def listen(
        self,
        name: str,
        host: str,
        port: int,
        tls: TlsSettings | None = None,
        options: ListenOptions | None = None,
        *,
        accepting: bool = True,
    ) -> Address:
        """Accept links for the listener `name`; tell `ListenerOpened` and return its address.

        Without `accepting` the port is taken, and links wait until `accept`. Raises `ListenFailed`
        or `TlsFailed`.
        """
        secure = Tls(tls, self.tell) if tls is not None else None
        options = options or ListenOptions()
        sock = await bind(self.loop, name, host, port, options)
        address = address_of(sock.getsockname())
        if self._ended:
            sock.close()
            raise ListenFailed(f"cannot listen on {address} ({name}): the machine has stopped")
        self.take(ListenerOpened(name, address))
        self.listen_on(name, sock, secure, options, accepting=accepting)
        return address

    def accept(self, name: str) -> None:
        """Let a listener accept that was opened without."""
        if name not in self._told_to_pause:
            self.resume_listening(ResumeListening(name))

    def take_over(
        self,
        old: str,
        name: str,
        tls: TlsSettings | None = None,
        options: ListenOptions | None = None,
    ) -> Address:
        """Make the listener `name` at the address of the listener `old`, out of its socket, so that
        no link is refused while one follows the other. It accepts nothing before `accept`.

        Raises `TlsFailed`.
        """
        secure = Tls(tls, self.tell) if tls is not None else None
        sock = self._listeners[old].sock.dup()
        address = address_of(sock.getsockname())
        self.take(ListenerOpened(name, address))
        self.listen_on(name, sock, secure, options or ListenOptions(), accepting=False)
        self._listeners[name].is_refusing = self._listeners[old].is_refusing
        return address

    def listen_on(
        self,
        name: str,
        sock: Any,
        secure: Tls | None,
        options: ListenOptions,
        *,
        accepting: bool = True,
    ) -> None:
        """Accept from a listening socket, at once or after `accept`."""

        def accepted(peer: Any) -> None:
            self._accepted(name, peer, secure)

        def refused(why: str) -> None:
            self.complain("cannot accept", {"listener": name, "reason": why})

        self._listeners[name] = Listener(
            self.loop,
            sock,
            accepted,
            refused,
            options,
            self.accepts_per_turn_max,
            self.accepts_bare(name, sock, secure),
        )
        self._listeners[name].shut(self._shut)
        if not accepting:
            self._listeners[name].pause()

    def accepts_bare(
        self, name: str, sock: socket.socket, secure: Tls | None
    ) -> Callable[[socket.SocketType, Any], None] | None:
        """Return what takes bare sockets that this listener accepts; None: they cannot be bare."""
        return None

    def shut_listeners(self, whether: bool) -> None:
        """Accept nothing of any listener while they are shut, whatever the machine wants."""
        self._shut = whether
        for listener in self._listeners.values():
            listener.shut(whether)

    def complain(self, what: str, details: dict[str, object]) -> None:
        """Tell of an error that may come again with every link: once in `COMPLAINT_PAUSE_S`."""
        now = self.loop.time()
        if now - self._complained_at.get(what, -COMPLAINT_PAUSE_S) >= COMPLAINT_PAUSE_S:
            self._complained_at[what] = now
            self.tell("error", what, details)

    def _accepted(self, name: str, sock: Any, secure: Tls | None) -> None:
        self._keep(self.loop.create_task(self._adopt(name, sock, secure)))

    def stop_listening(self, name: str) -> None:
        """Free the port of this listener, where it listens; its links stay."""
        listener = self._listeners.pop(name, None)
        self._told_to_pause.pop(name, None)
        if listener is not None:
            listener.close()

    def _stop_listening(self, effect: StopListening) -> None:
        if effect.listener not in self._listeners:
            self.steer_elsewhere(effect)
        self.stop_listening(effect.listener)

    def pause_listening(self, effect: PauseListening) -> None:
        """Accept nothing more of a listener."""
        listener = self._listeners.get(effect.listener)
        if listener is None:
            self.steer_elsewhere(effect)
            return
        self._told_to_pause[effect.listener] = None
        listener.pause()
        listener.refuse(effect.refuse)

    def resume_listening(self, effect: ResumeListening) -> None:
        """Accept again."""
        listener = self._listeners.get(effect.listener)
        if listener is None:
            self.steer_elsewhere(effect)
            return
        self._told_to_pause.pop(effect.listener, None)
        listener.refuse(False)
        listener.resume()

    # --- links that come and go -----------------------------------------------------------------

    def make_link(
        self,
        listener: str,
        number: int,
        name_peer: Callable[[dict[str, Any] | None], str | None] | None = None,
        early: bytes = b"",
    ) -> Link:
        """Return what a transport of asyncio talks to. `early` came before its handshake."""
        assert not early
        return Link(self, listener, number, name_peer)

    async def secure(self, sock: Any, make: Callable[[], Link], context: ssl.SSLContext) -> None:
        """Make a link with TLS of an accepted socket. Raises OSError, also for its handshake."""
        await self.loop.connect_accepted_socket(
            make,
            sock,
            ssl=context,
            ssl_handshake_timeout=HANDSHAKE_S,
            ssl_shutdown_timeout=LINGER_S,
        )

    async def _adopt(self, listener: str, sock: Any, tls: Tls | None, early: bytes = b"") -> bool:
        """Make a link of an accepted socket; return whether it became one."""
        peer = ""
        began = self.loop.time()
        try:
            if tls is None:
                await self.loop.connect_accepted_socket(lambda: self.make_link(listener, 0), sock)
            else:
                peer = str(address_of(sock.getpeername()))
                await self.secure(
                    sock, lambda: self.make_link(listener, 0, tls.peer_name, early), tls.context()
                )
        except OSError as error:  # gone before it was ours: never opened, so nothing to tell
            if peer:
                self.tell_handshake(listener, peer, error, self.loop.time() - began, early)
            sock.close()
            return False
        return True

    def tell_handshake(
        self, listener: str, peer: str, error: OSError, took_s: float, early: bytes
    ) -> None:
        """Tell that the TLS handshake of a client has failed."""
        if isinstance(error, ssl.SSLError):
            reason = error.strerror or str(error)
            details: dict[str, object] = {"listener": listener, "peer": peer, "reason": reason}
            self.tell("warning", HANDSHAKE_FAILED, details)

    def open_link(self, effect: OpenLink) -> None:
        """Begin to open a link; `LinkOpened` or `LinkClosed` tells how that went."""
        task = self.loop.create_task(self._open(effect))
        self._opening[effect.link] = task
        self._keep(task)

    async def _open(self, effect: OpenLink) -> None:
        try:
            await self._connect(effect)
        except OSError as error:
            if self._opening.pop(effect.link, None) is not None:
                in_handshake = isinstance(error, HandshakeFailed)
                self.take(LinkClosed(effect.link, reason_of(error), in_handshake=in_handshake))

    async def _connect(self, effect: OpenLink) -> None:
        address = effect.address
        await self.loop.create_connection(
            lambda: self.make_link("", effect.link), address.host, address.port
        )

    def link_made(self, link: Usable) -> bool:
        """Say whether a link that has just connected is wanted, and give it its number."""
        if self._ended:
            return False
        if link.listener:
            link.number = self._next_link
            self._next_link += self._step
        elif self._opening.pop(link.number, None) is None:
            return False  # closed before it was open: `LinkClosed` was told then
        self.links[link.number] = link
        return True

    def link_lost(self, link: Usable) -> None:
        """Forget a link that is gone."""
        self.links.pop(link.number, None)
        self._closing.pop(link.number, None)
        if not self._closing:
            self._all_links_gone.set()

    def close_link(self, effect: CloseLink) -> None:
        """Close a link, also one that is still being opened."""
        number = effect.link
        task = self._opening.pop(number, None)
        if task is not None:
            task.cancel()
            self.take(LinkClosed(number, ""))
            return
        # Out of `links` at once: what is sent to a closing link is dropped.
        link = self.links.pop(number, None) or self._closing.get(number)
        if link is not None:
            self._closing[number] = link
            if effect.abort:
                link.abort()
            else:
                link.close()

    # --- links that are there -------------------------------------------------------------------

    def finish_link(self, effect: FinishLink) -> None:
        """Have a FIN sent after what waits."""
        link = self.links.get(effect.link)
        if link is not None:
            link.finish()

    def pause_reading(self, effect: PauseReading) -> None:
        """Read nothing more of a link."""
        link = self.links.get(effect.link)
        if link is not None:
            link.pause_reading()

    def resume_reading(self, effect: ResumeReading) -> None:
        """Read it again."""
        link = self.links.get(effect.link)
        if link is not None:
            link.resume_reading()

    # --- the end --------------------------------------------------------------------------------

    def end(self, *, abort: bool) -> None:
        """Free the ports, open nothing more, and close all links: in order, or at once."""
        self._ended = True
        for listener in self._listeners.values():
            listener.close()
        for task in self._opening.values():
            task.cancel()
        self._opening.clear()
        for number in list(self.links):
            self.close_link(CloseLink(number, abort))

    async def close(self, patience_s: float) -> None:
        """Wait until all links are gone; those that are not after `patience_s` are cut off."""
        if self._closing:
            self._all_links_gone.clear()
            gone = asyncio.ensure_future(self._all_links_gone.wait())
            try:
                await asyncio.wait([gone], timeout=patience_s)
                for link in list(self._closing.values()):
                    link.abort()
                await gone
            finally:
                gone.cancel()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _keep(self, task: asyncio.Task[Any]) -> None:
        """Hold a task until it is done: the event loop itself holds only a weak reference."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
