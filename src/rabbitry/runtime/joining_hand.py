"""The hand of a balancer's driver: links that can be joined, most of them bare sockets.

Owns which links are joined, the poller and the pipes of the process, and how a link is opened with
options. Links without TLS are `JoinablePlainLink`s, those with TLS transports of asyncio.

The name of a server is looked up when a link to it is opened, and the answer kept for
`NAME_KEPT_S`: HAProxy looks it up once, at its start, and asks for a restart when it changes.

Invariants: as `Hand`; a link that breaks while it is opened is told with the reason, one that the
system has no descriptor for too. Clients are let in as far as descriptors go (`descriptors`).
"""

from __future__ import annotations

import asyncio
import errno
import functools
import ipaddress
import os
import socket
import ssl
from collections.abc import Callable
from typing import Any, TypeVar, cast

from rabbitry.balancer import handshakes
from rabbitry.balancer.proxy_protocol import header_for, read_header
from rabbitry.machine import (
    Address,
    BytesReceived,
    CloseLink,
    Effect,
    JoinLinks,
    LinkClosed,
    LinkOptions,
    LinksMeasured,
    LinkTls,
    Measure,
    MeasureLinks,
    OpenLink,
)
from rabbitry.runtime.descriptors import (
    Door,
    clients_affordable,
    open_files_limit,
    pipes_affordable,
)
from rabbitry.runtime.hand import HANDSHAKE_FAILED, Hand, Take, Tell, Usable
from rabbitry.runtime.joinable_links import Joinable, JoinableLink, JoinablePlainLink
from rabbitry.runtime.links import Link, address_of, reason_of, set_options
from rabbitry.runtime.listeners import ListenOptions
from rabbitry.runtime.pipes import PIPES_MAX, PipePool
from rabbitry.runtime.poller import Poller
from rabbitry.runtime.proxy_greeting import read_greeting
from rabbitry.runtime.tls import HANDSHAKE_S, Tls, TlsFailed, client_context
from rabbitry.runtime.tls_transport import Sessions, accept_tls, connect_tls

NAME_KEPT_S = 30.0
"""How long a looked-up name of a server is good."""

_OUT_OF_FILES = {errno.EMFILE, errno.ENFILE}

_ANY_HOST = ("0.0.0.0", "::")
"""A listener there does not know by which address its clients come."""

_Place = tuple[int, Any]
"""Family and address, as `socket` has them."""


class JoiningHand(Hand):
    """Links of this process, some of them joined."""

    poller: Poller

    def __init__(self, first_link: int = 1, step: int = 1) -> None:
        super().__init__(first_link, step)
        self._open_files = open_files_limit()
        pipes = pipes_affordable(self._open_files, PIPES_MAX)
        self.pipes = PipePool(pipes)
        self._door = Door(1, self.shut_listeners, self._tell_full)
        self.keep_descriptors(0)
        self._joined: dict[int, Joinable] = {}
        self._connecting: dict[int, JoinablePlainLink] = {}
        self._places: dict[Address, tuple[float, _Place]] = {}
        self._contexts: dict[LinkTls, ssl.SSLContext] = {}
        self._sessions = Sessions()
        self._secured: dict[str, Tls] = {}

    def serve(self, take: Take, tell: Tell) -> None:
        """Hand events to `take` from now on."""
        super().serve(take, tell)
        self.poller = Poller(self.loop)

    def keep_descriptors(self, kept: int) -> None:
        """Let in no more clients than leave so many descriptors for other things."""
        kept += 2 * self.pipes.pipes_max
        self._door.clients_max = clients_affordable(self._open_files, kept)

    def _tell_full(self) -> None:
        clients, open_files = self._door.clients_max, self._open_files
        self.complain(
            "out of file descriptors (ulimit -n): new clients wait until others have left",
            {"clients": clients, "open_files_max": open_files},
        )

    def acts(self) -> dict[type[Effect], Callable[[Any], None]]:
        """Return what carries out each effect that concerns links and listeners."""
        return super().acts() | {
            JoinLinks: lambda effect: self.join(effect.first, effect.second),
            MeasureLinks: self.measure_links,
        }

    # --- certificates ---------------------------------------------------------------------------

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
        if secure is not None:
            self._secured[name] = secure
        super().listen_on(name, sock, secure, options, accepting=accepting)

    def stop_listening(self, name: str) -> None:
        """Free the port of this listener, where it listens; its links stay."""
        self._secured.pop(name, None)
        super().stop_listening(name)

    def renew_certificates_here(self) -> None:
        """Begin new links, of clients and to servers, with what the files hold now.

        What cannot be used is told and leaves what was in use, as `tls` does with clients' links.
        """
        for secure in self._secured.values():
            secure.renew()
        for tls in self._contexts:
            try:
                self._contexts[tls] = client_context(tls)
            except TlsFailed as failure:
                if failure.is_forbidden:
                    continue  # to whom we are now; who reloads was told (`tls_files`)
                what = "new certificates of a server cannot be used, those before stay"
                self.tell("error", what, {"reason": str(failure)})
        self._sessions = Sessions()  # they go on with the context that they began with only

    async def renew_certificates(self) -> None:
        """`renew_certificates_here`, in all processes; return when it is done."""
        self.renew_certificates_here()

    # --- joining --------------------------------------------------------------------------------

    def join(self, first: int, second: int, *late: bytes) -> None:
        """Join two links. `late` has for each what came already and is the other's."""
        one, other = self.links.get(first), self.links.get(second)
        if one is None or other is None:
            for link in (one, other):
                if link is not None:
                    link.pause_reading()
            return
        # All links of this hand are of its own kinds.
        ends = cast(Joinable, one), cast(Joinable, other)
        self._joined[first], self._joined[second] = ends
        for end, partner, came in zip(ends, reversed(ends), late or (b"", b""), strict=True):
            end.join(partner, came)

    def measure_links(self, effect: MeasureLinks) -> None:
        """Tell what links have done."""
        measures = self.measured_here(effect.links, every=not effect.links)
        self.take(LinksMeasured(measures, effect.number))

    def measured_here(self, numbers: list[int], *, every: bool) -> list[Measure]:
        """Return what these joined links of this process, or all of them, have done."""
        joined = self._joined
        found = joined.values() if every else [joined[each] for each in numbers if each in joined]
        return [link.measure() for link in found]

    def link_lost(self, link: Usable) -> None:
        """Forget a link that is gone."""
        self._joined.pop(link.number, None)
        self._connecting.pop(link.number, None)
        super().link_lost(link)
        if link.listener:
            self._door.left()

    # --- links that come ------------------------------------------------------------------------

    def make_link(
        self,
        listener: str,
        number: int,
        name_peer: Callable[[dict[str, Any] | None], str | None] | None = None,
        early: bytes = b"",
    ) -> Link:
        """Return what a transport of asyncio talks to."""
        link = JoinableLink(self, listener, number, name_peer)
        link.early = early
        return link

    def accepts_bare(
        self, name: str, sock: socket.socket, secure: Tls | None
    ) -> Callable[[socket.SocketType, Any], None] | None:
        """Return what takes bare sockets of this listener: with TLS they cannot be bare."""
        if secure is not None:
            return None
        address = address_of(sock.getsockname())
        local = None if address.host in _ANY_HOST else address
        return functools.partial(self._accepted_bare, name, local)

    def _accepted_bare(self, name: str, local: Address | None, sock: Any, peer: Any) -> None:
        self._door.came()
        link = JoinablePlainLink(self, sock, name, 0, connecting=False, peer=address_of(peer))
        link.begin(local)

    def _accepted(self, name: str, sock: Any, secure: Tls | None) -> None:
        self._door.came()
        super()._accepted(name, sock, secure)

    async def secure(self, sock: Any, make: Callable[[], Link], context: ssl.SSLContext) -> None:
        """Make a link with TLS of an accepted socket, each direction with an end of its own."""
        await accept_tls(sock, make, context, HANDSHAKE_S)

    async def _adopt(self, listener: str, sock: Any, tls: Tls | None, early: bytes = b"") -> bool:
        """Make a link of an accepted socket; return whether it became one."""
        early = b""
        if tls is not None and tls.settings.after_proxy_header:
            greeting = await self._greeted(listener, sock)
            if greeting is None:
                self._door.left()
                return False
            early, is_header = greeting
            if not is_header:  # the machine will say so, and close it
                link = JoinablePlainLink(self, sock, listener, 0, connecting=False)
                link.begin()
                if early and link.number:
                    self.take(BytesReceived(link.number, early))
                return True
        adopted = await super()._adopt(listener, sock, tls, early)
        if not adopted:
            self._door.left()
        return adopted

    async def _greeted(self, listener: str, sock: socket.socket) -> tuple[bytes, bool] | None:
        """Read a PROXY header off a socket (`read_greeting`); None: it was told of and closed."""
        began = self.loop.time()
        peer = ""
        try:
            peer = str(address_of(sock.getpeername()))
            async with asyncio.timeout(HANDSHAKE_S):
                return await read_greeting(self.loop, sock)
        except OSError as error:
            sock.close()
            is_late = isinstance(error, TimeoutError)
            text = handshakes.HEADER_TOOK_TOO_LONG if is_late else handshakes.HEADER_BROKEN
            if peer:
                self._tell_refused(listener, peer, text, self.loop.time() - began)
            return None
        except BaseException:
            sock.close()
            raise

    def tell_handshake(
        self, listener: str, peer: str, error: OSError, took_s: float, early: bytes
    ) -> None:
        """Tell that the TLS handshake of a client has failed, in HAProxy's words."""
        header = read_header(early) if early else None
        if header is not None and header.source is not None:
            peer = str(header.source)
        if isinstance(error, ssl.SSLError):
            text = handshakes.FAILED
        elif error.errno:
            text = handshakes.BROKEN
        else:  # asyncio's own
            is_late = isinstance(error, ConnectionAbortedError)
            text = handshakes.TOOK_TOO_LONG if is_late else handshakes.CLOSED
        self._tell_refused(listener, peer, text, took_s)

    def _tell_refused(self, listener: str, peer: str, text: str, took_s: float) -> None:
        details: dict[str, object] = {"listener": listener, "peer": peer, "text": text}
        self.tell("info", HANDSHAKE_FAILED, details | {"total_ms": int(took_s * 1000)})

    def link_made(self, link: Usable) -> bool:
        """Say whether a link that has just connected is wanted, and give it its number."""
        if link.number in self._connecting and not self._ended:
            del self._connecting[link.number]
            self.links[link.number] = link
            return True
        made = super().link_made(link)
        if link.listener and not made:
            self._door.left()
        return made

    # --- links that we open ---------------------------------------------------------------------

    def open_link(self, effect: OpenLink) -> None:
        """Begin to open a link; `LinkOpened` or `LinkClosed` tells how that went."""
        options = effect.options
        if options is not None and (options.tls is not None or options.greets):
            super().open_link(effect)
            return
        place = self._known_place(effect.address)
        if place is None:
            super().open_link(effect)
            return
        try:
            self._open_plain(effect, place)
        except OSError as error:
            self._not_opened(effect.link, error)

    def _open_plain(self, effect: OpenLink, place: _Place) -> None:
        """Begin to connect. Raises OSError."""
        sock, connected = _begin_to_connect(socket.SocketType, place, effect.options)
        number, known = effect.link, place[1][0] == effect.address.host
        peer = effect.address if known else None  # a name is none
        link = JoinablePlainLink(self, sock, "", number, connecting=not connected, peer=peer)
        self._connecting[effect.link] = link
        link.begin()

    def _not_opened(self, number: int, error: OSError) -> None:
        if error.errno in _OUT_OF_FILES:
            self.complain("cannot open a link", {"reason": reason_of(error)})
        self.take(LinkClosed(number, reason_of(error)))

    async def _connect(self, effect: OpenLink) -> None:
        """Open a link whose server must be looked up first, or that has TLS. Raises OSError."""
        options = effect.options
        place = self._known_place(effect.address) or await self._look_up(effect.address)
        if options is None or not (options.tls is not None or options.greets):
            if self._opening.pop(effect.link, None) is not None:
                try:
                    self._open_plain(effect, place)
                except OSError as error:
                    self._not_opened(effect.link, error)
            return
        tls = options.tls
        try:
            context = self._context(tls) if tls is not None else None
        except TlsFailed as failure:
            raise OSError(0, str(failure)) from None
        sock, connected = _begin_to_connect(socket.socket, place, options)
        try:
            if not connected:
                await self._connected(sock)
            if options.greets:
                await self.loop.sock_sendall(sock, _greeting(sock, options))
            if tls is None or context is None:
                JoinablePlainLink(self, sock, "", effect.link, connecting=False).begin()
                return
            await connect_tls(
                sock,
                lambda: self.make_link("", effect.link, lambda certificate: None),
                context,
                tls,
                HANDSHAKE_S,
                (self._sessions, (tls, effect.address)) if tls.reuse else None,
            )
        except BaseException:
            sock.close()
            raise

    async def _connected(self, sock: socket.socket) -> None:
        """Wait until a socket is connected. Raises OSError."""
        done = self.loop.create_future()

        def writable() -> None:
            if not done.done():
                done.set_result(None)

        self.loop.add_writer(sock.fileno(), writable)
        try:
            await done
        finally:
            self.loop.remove_writer(sock.fileno())
        error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            raise OSError(error, os.strerror(error))

    def _context(self, tls: LinkTls) -> ssl.SSLContext:
        context = self._contexts.get(tls)
        if context is None:
            context = self._contexts[tls] = client_context(tls)
        return context

    def _known_place(self, address: Address) -> _Place | None:
        """Return where an address leads, if nobody need be asked."""
        known = self._places.get(address)
        if known is not None and known[0] > self.loop.time():
            return known[1]
        host = address.host
        place: _Place
        if host[:1] in ("/", "@"):
            name = b"\0" + host[1:].encode() if host[0] == "@" else host.encode()
            place = socket.AF_UNIX, name
        else:
            try:
                version = ipaddress.ip_address(host).version
            except ValueError:
                return None
            family = socket.AF_INET if version == 4 else socket.AF_INET6
            place = family, (host, address.port)
        self._places[address] = float("inf"), place
        return place

    async def _look_up(self, address: Address) -> _Place:
        """Ask where a name leads. Raises OSError."""
        found = await self.loop.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
        place: _Place = found[0][0], found[0][4]
        self._places[address] = self.loop.time() + NAME_KEPT_S, place
        return place

    def close_link(self, effect: CloseLink) -> None:
        """Close a link, also one that is still being opened."""
        link = self._connecting.get(effect.link)
        if link is not None:
            link.abort()
        else:
            super().close_link(effect)

    # --- the end --------------------------------------------------------------------------------

    def end(self, *, abort: bool) -> None:
        """Free the ports, open nothing more, and close all links: in order, or at once."""
        for link in list(self._connecting.values()):
            link.abort()
        super().end(abort=abort)

    async def close(self, patience_s: float) -> None:
        """Wait until all links are gone; those that are not after `patience_s` are cut off."""
        try:
            await super().close(patience_s)
        finally:
            self.poller.stop()
            self.pipes.close()


def _greeting(sock: socket.socket, options: LinkOptions) -> bytes:
    """Return what is said on this connected socket before all else."""
    if not options.names_itself:
        return options.greeting
    own, peer = address_of(sock.getsockname()), address_of(sock.getpeername())
    return header_for(1, own, peer) + options.greeting


_Socket = TypeVar("_Socket", bound=socket.SocketType)


def _begin_to_connect(
    make: type[_Socket], place: _Place, options: LinkOptions | None
) -> tuple[_Socket, bool]:
    """Return a socket that connects, and whether it has done so already. Raises OSError."""
    family, address = place
    sock = make(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        if family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # see `set_up_socket`
        if options is not None:
            set_options(sock, options)
            if options.source is not None:
                sock.bind((options.source.host, options.source.port))
        error = sock.connect_ex(address)
        if error not in (0, errno.EINPROGRESS):
            raise OSError(error, os.strerror(error))
    except BaseException:
        sock.close()
        raise
    return sock, error == 0
