"""The form of the statistics page: an action for the servers that are checked on it.

Owns its fields (`b` a backend, `action`, `s` a server, as often as there are some), the actions and
the code that says what came of it. A translation of src/stats.c, `stats_process_http_post`; what an
action brings with it is that of the command of the runtime socket.

Invariants: pure but for what the actions are for; never raises for what was posted; a field that is
there twice counts as it stands last, but for `s`.
"""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import unquote_plus

from rabbitry.balancer.backends import Backend
from rabbitry.balancer.commands.servers import set_agent_health, set_health, set_state
from rabbitry.balancer.commands.world import World
from rabbitry.balancer.servers import Admin, Server

DONE, NONE, PART, ERRP = "DONE", "NONE", "PART", "ERRP"
FIELD_BYTES_MAX = 2047
"""What one field may have: a line of HAProxy's."""
_CHANGED = "changed from Web interface"

Act = Callable[[World, Backend, Server, int], bool]
"""Does it to a server; says whether it could be done."""


def apply_form(world: World, form: bytes, now: int) -> str:
    """Do what a form says; return what came of it: DONE, PART (not to all), NONE (there was nothing
    to do), ERRP (it could not be done)."""
    fields = form.decode("latin-1").split("&")
    if any(len(field) > FIELD_BYTES_MAX for field in fields):
        return ERRP
    told = [_field(field) for field in fields]
    last = dict(told)
    backend = world.find_backend(last["b"]) if "b" in last else None
    if "b" in last and backend is None:
        return ERRP
    act = ACTIONS.get(last.get("action", ""))
    if "action" in last and act is None:
        return ERRP
    names = [value for key, value in told if key == "s"]
    if not names or backend is None or act is None:
        return NONE
    by_name = {server.name: server for server in backend.servers}
    tried = done = 0
    for name in reversed(names):
        server = by_name.get(name)
        if server is None:
            tried += 1
        elif act(world, backend, server, now):
            tried += 1
            done += 1
    if not tried:
        return NONE
    if not done:
        return ERRP
    return DONE if done == tried else PART


def _field(text: str) -> tuple[str, str]:
    key, _, value = text.partition("=")
    return unquote_plus(key), unquote_plus(value)


def _state(state: str) -> Act:
    def act(world: World, backend: Backend, server: Server, now: int) -> bool:
        set_state(world, server, state, now)
        return True

    return act


def _flag(flag: Admin, is_set: bool) -> Act:
    """The old actions: they change one flag, and count only where it was not so already."""

    def act(world: World, backend: Backend, server: Server, now: int) -> bool:
        if bool(server.admin & flag) is is_set:
            return False
        if is_set:
            world.transitions.set_admin(server, flag, now)
        else:
            world.transitions.clear_admin(server, flag, now)
        return True

    return act


def _checks(is_on: bool) -> Act:
    def act(world: World, backend: Backend, server: Server, now: int) -> bool:
        if server.line.check:
            server.health.enabled = is_on
        return server.line.check

    return act


def _agent_checks(is_on: bool) -> Act:
    def act(world: World, backend: Backend, server: Server, now: int) -> bool:
        if server.line.agent_check:
            server.agent.enabled = is_on
        return server.line.agent_check

    return act


def _health(health: str) -> Act:
    def act(world: World, backend: Backend, server: Server, now: int) -> bool:
        if server.tracked is not None:
            return False
        set_health(world, server, health, now, _CHANGED)
        return True

    return act


def _agent_health(is_up: bool) -> Act:
    def act(world: World, backend: Backend, server: Server, now: int) -> bool:
        if not server.agent.enabled:
            return False
        set_agent_health(world, server, is_up, now, _CHANGED)
        return True

    return act


def _kill_sessions(world: World, backend: Backend, server: Server, now: int) -> bool:
    if backend.section.disabled:
        return False
    world.relay.shut_down_sessions(server, "K", now)
    return True


ACTIONS: dict[str, Act] = {
    "ready": _state("ready"),
    "drain": _state("drain"),
    "maint": _state("maint"),
    "dhlth": _checks(False),
    "ehlth": _checks(True),
    "hrunn": _health("up"),
    "hnolb": _health("stopping"),
    "hdown": _health("down"),
    "dagent": _agent_checks(False),
    "eagent": _agent_checks(True),
    "arunn": _agent_health(True),
    "adown": _agent_health(False),
    "shutdown": _kill_sessions,
    "disable": _flag(Admin.FORCED_MAINT, True),
    "enable": _flag(Admin.FORCED_MAINT, False),
    "stop": _flag(Admin.FORCED_DRAIN, True),
    "start": _flag(Admin.FORCED_DRAIN, False),
}
