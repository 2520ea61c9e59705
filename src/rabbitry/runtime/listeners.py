"""The listening sockets of a driver: binding them, accepting from them.

Accepts by itself instead of through `loop.create_server`, because of what that does when there are
no file descriptors left: uvloop drops the waiting links without a word, asyncio's loop writes a
hundred tracebacks. This one says so in one line, lets the links wait in the backlog, rests a second
and goes on.

Invariants: a listener hands over each accepted socket once, non-blocking; an error of `accept`
never ends a listener. The file of a Unix socket that nobody listens on any more is replaced, one
that somebody answers on is not.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import shutil
import socket
import stat
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from rabbitry.machine import Address, LinkOptions
from rabbitry.runtime.links import set_options, set_up_socket

BACKLOG = 1024
"""Connections that the kernel holds for us; applications that reconnect all at once need room."""

ACCEPTS_PER_TURN_MAX = 64
"""Sockets taken in one turn of the loop: a flood of new links must not starve the others."""

ALONE_MAX = 15
"""Who comes alone costs a vain accept behind it; after some such, so many turns go without one."""

REST_S = 1.0
"""How long a listener rests when the system has no file descriptor or memory for a socket."""

_OUT_OF_RESOURCES = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenOptions:
    """How a port is listened on. None: as the system has it.

    `v6only` keeps IPv4 off a socket of IPv6. `unix_mode`, `unix_user`, `unix_group` are of a Unix
    socket's file. `links` has what accepted links get of TCP (its TLS and source mean nothing).
    """

    backlog: int = BACKLOG
    v6only: bool | None = None
    unix_mode: int | None = None
    unix_user: str | None = None
    unix_group: str | None = None
    links: LinkOptions | None = None


class ListenFailed(ValueError):
    """A port cannot be listened on; the text says which, for what, and why."""


class Listener:
    """One listening socket, accepting from the moment it is made until `close`.

    `accepted` is given each socket. Or `accepted_bare` is, and the peer's address: bare sockets are
    those of C, without what `socket.socket` adds, which takes longer than the accept itself; TCP's
    have the options that `bind` gave the listening one, as Linux has it.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sock: socket.socket,
        accepted: Callable[[socket.socket], None],
        refused: Callable[[str], None],
        options: ListenOptions | None = None,
        accepts_per_turn_max: int = ACCEPTS_PER_TURN_MAX,
        accepted_bare: Callable[[socket.SocketType, Any], None] | None = None,
    ) -> None:
        self._accepted_bare = accepted_bare
        self._family = int(sock.family)
        self._alone = 0  # turns that look for one only
        self._alone_next = 0
        self._loop = loop
        self._accepts_per_turn_max = accepts_per_turn_max
        self._links = options.links if options is not None else None
        self._backlog = options.backlog if options is not None else BACKLOG
        self.is_refusing = False
        self._paused = False
        self._shut = False
        self._looking = False
        self._sock = sock
        self._accepted = accepted
        self._refused = refused
        self._rest: asyncio.TimerHandle | None = None
        self._review()

    @property
    def sock(self) -> socket.socket:
        """The listening socket."""
        return self._sock

    def pause(self) -> None:
        """Accept nothing until `resume`: who comes waits in the backlog."""
        self._paused = True
        self._review()

    def resume(self) -> None:
        """Accept again."""
        self._paused = False
        self._review()

    def shut(self, whether: bool) -> None:
        """Accept nothing while it is shut, whether paused or not."""
        self._shut = whether
        self._review()

    def refuse(self, whether: bool) -> None:
        """Let who comes and who waits be refused while the port stays ours; of a Unix socket they
        wait (HAProxy's `tcp_suspend_receiver`)."""
        if whether == self.is_refusing or self._sock.family == socket.AF_UNIX:
            return
        if not whether:
            try:
                self._sock.listen(self._backlog)
            except OSError as error:  # somebody else has taken the port meanwhile
                self._refused(os.strerror(error.errno or 0))
                return
        self.is_refusing = whether
        self._review()
        if whether:
            with contextlib.suppress(OSError):  # a process that shares it was faster
                self._sock.shutdown(socket.SHUT_RD)

    def close(self) -> None:
        """Accept nothing more and free the port."""
        if self._rest is not None:
            self._rest.cancel()
        if self._sock.fileno() >= 0:
            self._paused = True
            self._review()
            self._sock.close()

    def _review(self) -> None:
        """Look for links, or look no more."""
        wanted = not (self._paused or self._shut or self.is_refusing or self._rest is not None)
        if wanted == self._looking or self._sock.fileno() < 0:
            return
        self._looking = wanted
        if wanted:
            self._loop.add_reader(self._sock.fileno(), self._accept)
        else:
            self._loop.remove_reader(self._sock.fileno())

    def _accept(self) -> None:
        if self._alone:
            self._alone -= 1
            self._accept_one()
            return
        for count in range(self._accepts_per_turn_max):
            if not self._looking:  # paused or shut by what the last one led to
                return
            if not self._accept_one():
                self._alone_next = min(2 * self._alone_next + 1, ALONE_MAX) if count < 2 else 0
                self._alone = self._alone_next
                return

    def _accept_one(self) -> bool:
        """Accept who has waited longest; False: nobody waits, or can be accepted now."""
        bare = self._accepted_bare
        sock: Any
        try:
            if bare is None:
                sock, peer = self._sock.accept()
            else:
                # What `accept` itself is made of; without it there is no bare socket.
                fd, peer = cast(Any, self._sock)._accept()
                sock = socket.SocketType(self._family, socket.SOCK_STREAM, 0, fd)
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return False
        except OSError as error:
            if error.errno == errno.EINVAL:  # shut down by the process that shares it
                self.pause()
                return False
            if error.errno in _OUT_OF_RESOURCES:
                self._rest = self._loop.call_later(REST_S, self._wake)
                self._review()
            self._refused(os.strerror(error.errno or 0))
            return False
        try:
            if bare is None:
                set_up_socket(sock)
            else:
                sock.setblocking(False)
            if self._links is not None:
                set_options(sock, self._links)
        except OSError:  # the peer is gone already
            sock.close()
            return True
        if bare is None:
            self._accepted(sock)
        else:
            bare(sock, peer)
        return True

    def _wake(self) -> None:
        self._rest = None
        self._review()


async def bind(
    loop: asyncio.AbstractEventLoop,
    what: str,
    host: str,
    port: int,
    options: ListenOptions | None = None,
) -> socket.socket:
    """Return a listening socket on `host` and `port` (0: any free one), or raise `ListenFailed`.

    `host` may be the path of a Unix socket, or "@" and the name of an abstract one.
    """
    place = Address(host, port)
    options = options or ListenOptions()
    try:
        if host[:1] in ("/", "@"):
            return _bind_unix(host, options)
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise ListenFailed(f"cannot listen on {place} ({what}): {_why(error)}") from None
    family, kind, protocol, _, address = found[0]
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setblocking(False)
        # A node that starts again must get its port although old links linger in TIME_WAIT.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6 and options.v6only is not None:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(options.v6only))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # see `set_up_socket`
        sock.bind(address)
        sock.listen(options.backlog)
    except OSError as error:
        sock.close()
        raise ListenFailed(f"cannot listen on {place} ({what}): {_why(error)}") from None
    return sock


def _bind_unix(host: str, options: ListenOptions) -> socket.socket:
    """Return a listening Unix socket. Raises OSError."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        if host.startswith("@"):
            sock.bind(b"\0" + os.fsencode(host[1:]))
        else:
            _clear(host)
            sock.bind(host)
            if options.unix_user is not None or options.unix_group is not None:
                _own(host, options.unix_user, options.unix_group)
            if options.unix_mode is not None:
                os.chmod(host, options.unix_mode)
        sock.listen(options.backlog)
    except BaseException:
        sock.close()
        raise
    return sock


def _own(path: str, user: str | None, group: str | None) -> None:
    """Give a socket's file to a user and group. Raises OSError."""
    try:
        if group is None:
            assert user is not None
            shutil.chown(path, user=user)
        elif user is None:
            shutil.chown(path, group=group)
        else:
            shutil.chown(path, user=user, group=group)
    except LookupError as error:
        raise OSError(0, str(error)) from None


def _clear(path: str) -> None:
    """Remove the file of a Unix socket that nobody listens on any more. Raises OSError."""
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.setblocking(False)
            if probe.connect_ex(path) != errno.ECONNREFUSED:
                raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
        os.unlink(path)


def _why(error: OSError) -> str:
    if isinstance(error, socket.gaierror):
        return str(error.strerror)
    return os.strerror(error.errno) if error.errno else str(error.strerror or error)
