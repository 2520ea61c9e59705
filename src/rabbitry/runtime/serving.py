"""What a running balancer has open: listeners, pages, runtime sockets; how a new file changes it.

Owns the order in which things are opened, taken into use and closed. What is decided by a new
configuration is the machine's (`balancer.proxies`); this room carries its plan out.

A reload opens what is new first, without accepting there; if anything cannot be opened, what was
opened is closed again and nothing has changed. Then the machine adopts the configuration, in one
step; then new listeners accept, and old ones are closed. An address that moves from one section to
another keeps its socket, so that no client is refused meanwhile.

Invariants: one reload at a time; a listener accepts only while the machine knows it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

from rabbitry.balancer.balancer import PlanReload, Reload
from rabbitry.balancer.configuration.model import (
    BindLine,
    Configuration,
    FrontendSection,
    RuntimeSocket,
)
from rabbitry.balancer.proxies import ListenerChanges
from rabbitry.machine import Address, PauseListening, StopListening
from rabbitry.runtime.hand import Steering
from rabbitry.runtime.listeners import ListenFailed
from rabbitry.runtime.tls import TlsFailed

NEEDS_RESTART = ("processes", "daemon", "user", "group", "pidfile")
"""Words of `global` that are looked at only when a balancer starts."""


class Closable(Protocol):
    """Something that is served."""

    async def close(self) -> None:
        """Serve it no more."""
        ...


class Commands(Closable, Protocol):
    """A runtime socket that is being served."""

    def put_in_place(self) -> None:
        """Take its path, whoever has it. Raises `ListenFailed`."""
        ...


class Page(Closable, Protocol):
    """A page that is being served."""

    @property
    def address(self) -> Address:
        """Where it is served."""
        ...

    def refuse(self, whether: bool) -> None:
        """Refuse who comes, or take them again."""
        ...

    def stop_listening(self) -> None:
        """Free the port at once, for good; `close` ends the rest."""
        ...

    def renew_certificates(self) -> None:
        """Begin new connections with what the files of certificates hold now."""
        ...


class World(Protocol):
    """What opens and closes: the driver, the console's pages, the runtime sockets, the log."""

    async def ask(self, question: Any) -> Any:
        """Ask the machine."""
        ...

    async def listen(self, name: str, bind: BindLine, section: FrontendSection) -> Address:
        """Open a listener; it accepts nothing before `accept`. Raises `ListenFailed`."""
        ...

    def accept(self, name: str) -> None:
        """Let a listener accept."""
        ...

    def take_over(self, old: str, name: str, bind: BindLine, section: FrontendSection) -> Address:
        """Make a listener out of another one's socket; it accepts nothing before `accept`."""
        ...

    def stop_listening(self, name: str) -> None:
        """Close a listener; its links stay."""
        ...

    async def serve_page(self, section: FrontendSection, bind: BindLine) -> Page:
        """Serve a page of statistics. Raises `ListenFailed`."""
        ...

    async def serve_commands(self, socket: RuntimeSocket, configuration: Configuration) -> Commands:
        """Serve a runtime socket, which has no path yet. Raises `ListenFailed`."""
        ...

    async def renew_certificates(self) -> None:
        """Begin new links with what the files of certificates hold now, in all processes."""
        ...

    def log_to(self, configuration: Configuration) -> None:
        """Send log lines where this configuration says."""
        ...


class Serving:
    """What is open for one balancer. `addresses` has where, by listener or section."""

    def __init__(self, world: World, configuration: Configuration) -> None:
        self._world = world
        self._configuration = configuration
        self._pages: dict[tuple[str, BindLine], tuple[FrontendSection, Page]] = {}
        self._sockets: dict[RuntimeSocket, Commands] = {}
        self._stopping: list[asyncio.Future[None]] = []
        self._one_at_a_time = asyncio.Lock()
        self._opened: list[str] = []
        self.addresses: dict[str, Address] = {}

    async def open(self, listeners: list[tuple[str, BindLine]]) -> None:
        """Open all that the configuration asks for; listeners accept nothing before `accept`.

        Raises `ListenFailed` or `TlsFailed`.
        """
        sections = _sections(self._configuration)
        for name, bind in listeners:
            self.addresses[name] = await self._world.listen(name, bind, _section(sections, name))
            self._opened.append(name)
        # Whoever is served can be looked at and steered.
        await self._open_sockets(self._configuration)
        await self._open_pages(self._configuration)

    def put_sockets_in_place(self) -> None:
        """Take the paths of runtime sockets, now that nothing else can fail. Raises `ListenFailed`.

        A balancer that listens there already loses them.
        """
        for socket in self._sockets.values():
            socket.put_in_place()

    def accept(self) -> None:
        """Let the listeners accept that were opened at the start."""
        for name in self._opened:
            self._world.accept(name)

    def stop_listening(self) -> int | None:
        """Close all listeners; return how long sessions may go on (microseconds; None: for ever).

        Pages and runtime sockets stay, so that people can see what is left.
        """
        pages = {name for name, _ in self._pages}
        for name in [name for name in self.addresses if name not in pages]:
            self._world.stop_listening(name)
            del self.addresses[name]
        return self._configuration.process.hard_stop_after_us

    async def close(self) -> None:
        """Close pages and runtime sockets; listeners are the driver's to close."""
        await asyncio.gather(*self._stopping)
        for _, page in self._pages.values():
            await page.close()
        for socket in self._sockets.values():
            await socket.close()

    # --- a new configuration --------------------------------------------------------------------

    async def reload(self, configuration: Configuration) -> list[str]:
        """Go on with another configuration; return what it asks for in vain, a line for each.

        Raises `ListenFailed` or `TlsFailed`, and then nothing has changed.
        """
        async with self._one_at_a_time:
            changes: ListenerChanges = await self._world.ask(PlanReload(configuration))
            before = self._configuration
            opened = await self._open_listeners(configuration, changes)
            try:
                await self._open_pages(configuration)
                await self._open_sockets(configuration)
                self.put_sockets_in_place()
            except BaseException:
                for name in opened:
                    self._world.stop_listening(name)
                    del self.addresses[name]
                await self._close_but(before)
                raise
            await self._world.ask(Reload(configuration))
            self._world.log_to(configuration)
            for name in opened:
                self._world.accept(name)
            for name in changes.to_close:
                self._world.stop_listening(name)
                self.addresses.pop(name, None)
            await self._close_but(configuration)
            self._configuration = configuration
            failed = await self._change_pages(configuration)
            # Files may have changed though no line has: whoever is told of the reload finds them.
            for _, page in self._pages.values():
                page.renew_certificates()
            await self._world.renew_certificates()
            return [*failed, *_in_vain(before, configuration)]

    async def _open_listeners(
        self, configuration: Configuration, changes: ListenerChanges
    ) -> list[str]:
        sections = _sections(configuration)
        closing = {self.addresses[name]: name for name in changes.to_close}
        opened: list[str] = []
        try:
            for name, bind in changes.to_open:
                section = _section(sections, name)
                old = closing.pop(bind.address, None)
                if old is not None:
                    address = self._world.take_over(old, name, bind, section)
                else:
                    address = await self._world.listen(name, bind, section)
                self.addresses[name] = address
                opened.append(name)
        except (ListenFailed, TlsFailed):
            for name in opened:
                self._world.stop_listening(name)
                del self.addresses[name]
            raise
        return opened

    async def _open_pages(self, configuration: Configuration) -> None:
        for section, bind in _pages(configuration):
            key = (section.name, bind)
            if key not in self._pages:
                page = await self._world.serve_page(section, bind)
                self._pages[key] = (section, page)
                self.addresses.setdefault(section.name, page.address)

    async def _change_pages(self, configuration: Configuration) -> list[str]:
        """Serve pages whose section says something else; return what could not be served.

        The same address cannot be opened twice, and a page has no sessions to lose.
        """
        failed = []
        for section, bind in _pages(configuration):
            there = self._pages[section.name, bind]
            if there[0] == section:
                continue
            await there[1].close()
            try:
                page = await self._world.serve_page(section, bind)
            except (ListenFailed, TlsFailed) as error:
                del self._pages[section.name, bind]
                failed.append(str(error))
            else:
                self._pages[section.name, bind] = (section, page)
        return failed

    async def _open_sockets(self, configuration: Configuration) -> None:
        for socket in configuration.process.runtime_sockets:
            if socket not in self._sockets:
                self._sockets[socket] = await self._world.serve_commands(socket, configuration)

    async def _close_but(self, configuration: Configuration) -> None:
        """Close the pages and runtime sockets that this configuration does not have."""
        wanted = {(section.name, bind) for section, bind in _pages(configuration)}
        await self._close_pages([key for key in self._pages if key not in wanted])
        sockets = configuration.process.runtime_sockets
        for socket in [socket for socket in self._sockets if socket not in sockets]:
            await self._sockets.pop(socket).close()

    async def _close_pages(self, keys: list[tuple[str, BindLine]]) -> None:
        pages = [self._pages.pop(key)[1] for key in keys]
        for name, _ in keys:
            if name not in {name for name, _ in self._pages}:
                self.addresses.pop(name, None)
        for page in pages:
            await page.close()

    # --- what the machine wants of pages --------------------------------------------------------

    def steer_page(self, effect: Steering) -> None:
        """Have the pages of a section refuse their clients, take them again, or be closed."""
        keys = [key for key in self._pages if key[0] == effect.listener]
        if isinstance(effect, StopListening):
            # Before the command is answered: who comes after that is to be refused, not reset.
            for key in keys:
                self._pages[key][1].stop_listening()
            self._stopping.append(asyncio.ensure_future(self._close_pages(keys)))
            return
        for key in keys:
            self._pages[key][1].refuse(isinstance(effect, PauseListening))


class Reloader:
    """Takes the file anew when it is told to: by SIGUSR2, or by `reload` on a runtime socket.

    `read` reads the file, raising `ValueError` with a line for each mistake; `tell` writes a line
    of the log, with its level.
    """

    def __init__(
        self,
        serving: Serving,
        read: Callable[[], Configuration],
        tell: Callable[[str, str], None],
    ) -> None:
        self._serving = serving
        self._read = read
        self._tell = tell

    async def reload(self) -> str:
        """Take the file anew; return HAProxy's answer of its master socket: `Success=1` or
        `Success=0`, then `--` and a line for each thing to say."""
        try:
            configuration = self._read()
            in_vain = await self._serving.reload(configuration)
        except (ValueError, OSError) as error:  # a mistake, a port that is taken, a certificate
            for line in str(error).splitlines():
                self._tell("error", f"reload: {line}")
            self._tell("error", "nothing was changed")
            return _answer(success=False, lines=str(error).splitlines())
        lines = [*configuration.warnings, *in_vain]
        for line in lines:
            self._tell("warning", f"reload: {line}")
        return _answer(success=True, lines=lines)


def _answer(*, success: bool, lines: list[str]) -> str:
    return "\n".join([f"Success={int(success)}", *(["--", *lines] if lines else [])]) + "\n"


def _pages(configuration: Configuration) -> list[tuple[FrontendSection, BindLine]]:
    """Where pages are to be served."""
    return [
        (section, bind)
        for section in configuration.frontends
        if section.has_pages
        for bind in section.binds
    ]


def _sections(configuration: Configuration) -> dict[str, FrontendSection]:
    return {section.name: section for section in configuration.frontends}


def _section(sections: dict[str, FrontendSection], listener: str) -> FrontendSection:
    return sections[listener] if listener in sections else sections[listener.rpartition("/")[0]]


def _in_vain(before: Configuration, after: Configuration) -> list[str]:
    return [
        f"'{word}' of 'global' has changed: it takes effect at the next start"
        for word in NEEDS_RESTART
        if getattr(before.process, word) != getattr(after.process, word)
    ]
