"""`add server` and `del server`: servers that are in no file.

Owns their words and answers (src/server.c, `cli_parse_add_server`, `cli_parse_delete_server`). What
stands behind the address is read as on a `server` line, without `default-server`, as HAProxy does.

Such a server begins in maintenance, its checks switched off: `enable server`, `enable health`. It
is gone with the next reload unless the new file has it.
"""

from __future__ import annotations

import re
from dataclasses import replace

from rabbitry.balancer.algorithms.pool import WEIGHT_SCALE
from rabbitry.balancer.backends import Backend
from rabbitry.balancer.commands.world import Call, Command, Said, World
from rabbitry.balancer.configuration.model import ConfigurationError, ServerLine
from rabbitry.balancer.configuration.reader import parse
from rabbitry.balancer.servers import Admin, Server

# src/server.c: keywords that are not allowed for servers that come later.
_REFUSED = ("cookie", "disabled", "enabled", "init-addr", "namespace", "resolvers")


def _add(world: World, call: Call) -> str:
    backend_name, _, name = call.word(2).partition("/")
    if not backend_name or not name:
        raise Said("Require 'backend/server'.")
    backend = world.find_backend(backend_name)
    if backend is None:
        raise Said("No such backend.")
    if not backend.weights_are_dynamic:
        raise Said("Backend must use a dynamic load balancing to support dynamic servers.")
    line = _line(world, backend, name, call.words[3:])
    if any(each.name == name for each in backend.servers):
        raise Said("Already exists a server with the same name in backend.\n")
    number = 1 + max((each.number for each in backend.servers), default=0)
    server = Server(line, number, backend.section.name)
    server.health.enabled = server.agent.enabled = False
    server.admin = Admin.FORCED_MAINT
    server.line = replace(line, disabled=False)
    server.effective_weight = WEIGHT_SCALE  # until it is enabled, as with HAProxy
    server.changes.at = call.now
    backend.add_server(server)
    world.transitions.know(server)
    world.transitions.serve(world.proxies.backends, call.now)
    world.checks.server_added(backend, server, call.now)
    raise Said("New server registered.\n", "info")


def _line(world: World, backend: Backend, name: str, words: list[str]) -> ServerLine:
    """Read what stands behind the name. Raises `Said`."""
    if not words:
        raise Said("'server' expects <name> and <addr>[:<port>] as arguments.\n")
    for word in words[1:]:
        if word in _REFUSED:
            raise Said(f"'{word}' option is not accepted for dynamic server\n")
    track = None
    if "track" in words[:-1]:
        place = words.index("track")
        track = words[place + 1]
        words = words[:place] + words[place + 2 :]
        _check_tracked(world, backend, track)
    quoted = " ".join("'" + word.replace("'", "'\\''") + "'" for word in (name, *words))
    try:
        read = parse(f"listen dynamic\n    bind 127.0.0.1:1\n    server {quoted}\n", "")
    except ConfigurationError as error:
        raise Said(_said(error.mistakes[0])) from None
    (line,) = read.backends[0].servers
    number = line.id if "id" in words else None  # the reader numbers them from 1
    return replace(line, track=track, disabled=True, id=number)


def _said(mistake: str) -> str:
    """A mistake without its place, in HAProxy's words where it is a word that is not known."""
    text = mistake.partition(": ")[2]
    unknown = re.match(r"'([^']*)' is not known on a 'server' line", text)
    return f"unknown keyword '{unknown[1]}'.\n" if unknown else f"{text}\n"


def _check_tracked(world: World, backend: Backend, track: str) -> None:
    name = track if "/" in track else f"{backend.section.name}/{track}"
    try:
        world.server(name)
    except Said:
        raise Said(f"unable to find required server '{track}' for tracking\n") from None


def _delete(world: World, call: Call) -> str:
    backend_name, _, name = call.word(2).partition("/")
    if not backend_name or not name:
        raise Said("Require 'backend/server'.")
    backend = world.find_backend(backend_name)
    if backend is None:
        raise Said("No such backend.")
    server = next((each for each in backend.servers if each.name == name), None)
    if server is None:
        raise Said("No such server.")
    if server.trackers:
        raise Said(
            "This server cannot be removed at runtime due to other configuration elements "
            "pointing to it."
        )
    if not server.admin & Admin.MAINT:
        raise Said("Only servers in maintenance mode can be deleted.")
    if server.counters.sessions or server.served or server.queued:
        raise Said("Server still has connections attached to it, cannot remove it.")
    world.checks.server_removed(server, call.now)
    world.transitions.forget(server)
    backend.remove_server(server)
    raise Said("Server deleted.", "info")


COMMANDS = (
    Command(
        "add server",
        "add server <bk>/<srv>                   : create a new server",
        "admin",
        _add,
    ),
    Command(
        "del server",
        "del server <bk>/<srv>                   : remove a dynamically added server",
        "admin",
        _delete,
    ),
)
