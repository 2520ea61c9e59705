"""The sections in service: frontends, backends, listeners; and what a new file makes of them.

Owns which `Frontend` and `Backend` objects serve, and the comparison of a new configuration with
them. Does not own what follows for sessions (nothing: they keep the objects they have), for checks
(`checks`), or for sockets (the process opens and closes listeners as `plan` says).

A reload goes in two halves, so that a file that cannot be carried out changes nothing: `plan` tells
which listeners the process would have to open and close, without touching anything; when it has
opened them, `adopt` takes the new sections into service. What is the same in both files stays the
same object: a server with its health, counters and operator's orders, a backend with its queue, a
frontend with its sessions. HAProxy begins anew with a second process instead, and forgets all that.

A server is the same if name, address, TLS, PROXY protocol and source are; what else its line says
takes effect at once. One that is not the same is a new server; the old one gets no more sessions
and is forgotten when its last one ends.

Invariants: names of listeners are never used twice for different addresses; an object that is not
in service any more is only kept alive by its sessions.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from rabbitry.balancer.backends import Backend
from rabbitry.balancer.configuration.model import (
    BackendSection,
    BindLine,
    Configuration,
    FrontendSection,
    ServerLine,
)
from rabbitry.balancer.servers import Server
from rabbitry.balancer.session import Frontend, Listener


@dataclass(frozen=True, slots=True)
class ListenerChanges:
    """What a new configuration asks of the process: listeners to open first, to close last."""

    to_open: tuple[tuple[str, BindLine], ...]
    to_close: tuple[str, ...]


@dataclass(slots=True)
class Adopted:
    """What has changed: servers that came, went, and kept their place with another line (with the
    line they had); frontends that `left`."""

    added: list[tuple[Backend, Server]] = field(default_factory=list)
    removed: list[tuple[Backend, Server]] = field(default_factory=list)
    changed: list[tuple[Backend, Server, ServerLine]] = field(default_factory=list)
    new_backends: list[Backend] = field(default_factory=list)
    left: list[Frontend] = field(default_factory=list)


class Proxies:
    """What is in service now. `listeners` has each listener by its name."""

    def __init__(self, configuration: Configuration) -> None:
        self.configuration = configuration
        self.backends = [Backend(section) for section in configuration.backends]
        by_name = {backend.section.name: backend for backend in self.backends}
        self.frontends = [
            Frontend(section, by_name.get(section.default_backend or ""))
            for section in configuration.frontends
        ]
        self.listeners: dict[str, Listener] = {}
        self._closed: dict[str, Listener] = {}
        for frontend in self.frontends:
            for name, bind in self._new_listeners(frontend.section):
                self._add_listener(name, bind, frontend)

    def _add_listener(self, name: str, bind: BindLine, frontend: Frontend) -> None:
        number = frontend.section.binds.index(bind) + 1
        self.listeners[name] = Listener(name, frontend, bind, number)

    def listener_named(self, name: str) -> Listener:
        """The listener of this name; also one that was closed, as its last links came."""
        return self.listeners.get(name) or self._closed[name]

    # --- listeners ------------------------------------------------------------------------------

    def _new_listeners(self, section: FrontendSection) -> list[tuple[str, BindLine]]:
        """The addresses of a section that nobody listens at yet, with names for them."""
        if section.mode == "http" or section.disabled:
            return []  # pages are the process's
        there = [
            listener.bind
            for listener in self.listeners.values()
            if listener.frontend.section.name == section.name
        ]
        found: list[tuple[str, BindLine]] = []
        number = 1
        for bind in section.binds:
            if bind in there:
                there.remove(bind)
                continue
            while (name := _listener_name(section.name, number)) in self._names(found):
                number += 1
            found.append((name, bind))
        return found

    def _names(self, more: list[tuple[str, BindLine]]) -> set[str]:
        return {*self.listeners, *self._closed, *(name for name, _ in more)}

    def plan(self, configuration: Configuration) -> ListenerChanges:
        """Say what the process must do for `configuration`; change nothing."""
        sections = {section.name: section for section in configuration.frontends}
        to_close = []
        wanted = {name: list(section.binds) for name, section in sections.items()}
        for name, listener in self.listeners.items():
            bind = listener.bind
            section = sections.get(listener.frontend.section.name)
            if section is None or section.mode == "http" or section.disabled:
                to_close.append(name)
            elif bind in wanted[section.name]:
                wanted[section.name].remove(bind)
            else:
                to_close.append(name)
        to_open = [
            listener for section in sections.values() for listener in self._new_listeners(section)
        ]
        return ListenerChanges(tuple(to_open), tuple(to_close))

    def shut_down(self, frontend: Frontend) -> list[str]:
        """A frontend lets nobody in any more; return its listeners, which are to be closed."""
        frontend.is_shut_down = True
        names = [name for name, each in self.listeners.items() if each.frontend is frontend]
        for name in names:
            self._closed[name] = self.listeners.pop(name)
        return names

    # --- a new configuration --------------------------------------------------------------------

    def adopt(self, configuration: Configuration, now: int) -> Adopted:
        """Take `configuration` into service; the listeners of its `plan` are open."""
        changes = self.plan(configuration)
        adopted = Adopted()
        self._adopt_backends(configuration, adopted, now)
        by_name = {backend.section.name: backend for backend in self.backends}
        there = {frontend.section.name: frontend for frontend in self.frontends}
        self.frontends = []
        for section in configuration.frontends:
            backend = by_name.get(section.default_backend or "")
            frontend = there.pop(section.name, None) or Frontend(section, backend)
            frontend.adopt(section, backend)
            self.frontends.append(frontend)
        adopted.left += there.values()
        for name in changes.to_close:
            self._closed[name] = self.listeners.pop(name)
        there = {frontend.section.name: frontend for frontend in self.frontends}
        for name, bind in changes.to_open:
            self._add_listener(name, bind, there[name.rpartition("/")[0] or name])
        self.configuration = configuration
        return adopted

    def _adopt_backends(self, configuration: Configuration, adopted: Adopted, now: int) -> None:
        there = {backend.section.name: backend for backend in self.backends}
        self.backends = []
        for section in configuration.backends:
            backend = there.pop(section.name, None)
            if backend is None:
                backend = Backend(section)
                backend.started(now)
                adopted.new_backends.append(backend)
                adopted.added += [(backend, server) for server in backend.servers]
            elif backend.section != section:
                _adopt_servers(backend, section, adopted, now)
            self.backends.append(backend)
        for backend in there.values():
            adopted.removed += [(backend, server) for server in backend.servers]


def _adopt_servers(backend: Backend, section: BackendSection, adopted: Adopted, now: int) -> None:
    there = {server.name: server for server in backend.servers}
    servers = []
    for number, line in enumerate(section.servers, start=1):
        server = there.get(line.name)
        if server is not None and is_same_server(server.line, line):
            del there[line.name]
            if server.line != line:
                adopted.changed.append((backend, server, server.line))
            server.adopt(line, number)
        else:
            server = Server(line, number, section.name)
            server.changes.at = now
            adopted.added.append((backend, server))
        servers.append(server)
    adopted.removed += [(backend, server) for server in there.values()]
    backend.adopt(section, servers)


def is_same_server(before: ServerLine, after: ServerLine) -> bool:
    """Whether sessions of one are sessions of the other."""
    return (before.address, before.tls, before.send_proxy, before.source) == (
        after.address,
        after.tls,
        after.send_proxy,
        after.source,
    )


def _listener_name(section_name: str, number: int) -> str:
    return section_name if number == 1 else f"{section_name}/{number}"
