"""Commands that steer frontends and the process: limits, disabling, shutting down.

Owns their words and answers (src/proxy.c, src/cli.c). The limits themselves are `admission`'s, who
also has a disabled frontend refuse its clients; sections with `mode http` listen elsewhere, under
their names.
"""

from __future__ import annotations

from rabbitry.balancer.commands.world import Call, Command, Said, World, leading_number
from rabbitry.balancer.session import Frontend
from rabbitry.machine import PauseListening, Report, ResumeListening, StopListening

_RATES = (
    "'set rate-limit' only supports :\n"
    "   - 'connections global' to set the per-process maximum connection rate\n"
    "   - 'sessions global' to set the per-process maximum session rate\n"
    "   - 'ssl-sessions global' to set the per-process maximum SSL session rate\n"
    "   - 'http-compression global' to set the per-process maximum compression speed in kB/s\n"
)


def _enable(world: World, call: Call) -> str:
    frontend = world.frontend(call.word(2))
    if frontend.is_shut_down or frontend.section.disabled:
        raise Said("Frontend was previously shut down, cannot enable.\n")
    if not frontend.is_disabled:
        raise Said("All sockets are already enabled.\n", "notice")
    frontend.is_disabled = False
    _tell(world, frontend, "proxy resumed")
    if frontend.section.mode == "http":
        world.out.append(ResumeListening(frontend.section.name))
    world.relay.limits_changed(call.now)
    return ""


def _disable(world: World, call: Call) -> str:
    frontend = world.frontend(call.word(2))
    if frontend.is_shut_down or frontend.section.disabled:
        raise Said("Frontend was previously shut down, cannot disable.\n", "notice")
    if frontend.is_disabled:
        raise Said("All sockets are already disabled.\n", "notice")
    frontend.is_disabled = True
    _tell(world, frontend, "proxy paused")
    if frontend.section.mode == "http":
        world.out.append(PauseListening(frontend.section.name, refuse=True))
    world.relay.limits_changed(call.now)
    return ""


def _shut_down(world: World, call: Call) -> str:
    frontend = world.frontend(call.word(2))
    if frontend.is_shut_down or frontend.section.disabled:
        raise Said("Frontend was already shut down.\n", "notice")
    names = world.proxies.shut_down(frontend)
    if frontend.section.mode == "http":
        names.append(frontend.section.name)
    world.out += [StopListening(name) for name in names]
    _tell(world, frontend, "proxy stopped")
    return ""


def _tell(world: World, frontend: Frontend, what: str) -> None:
    """Tell people in HAProxy's words; a `listen` is a proxy, what only listens a frontend."""
    name = frontend.section.name
    backend = world.find_backend(name)
    page = world.facts.pages.get(name)
    clients = page.connections_total if page is not None else frontend.connections_total
    details = {
        "proxy": name,
        "kind": "proxy" if backend is not None else "frontend",
        "frontend_connections": clients,
        "backend_connections": backend.counters.sessions_total if backend is not None else 0,
    }
    world.out.append(Report("warning", what, details))


def _set_maxconn(world: World, call: Call) -> str:
    frontend = world.frontend(call.word(3))
    if not call.word(4):
        raise Said("Integer value expected.\n")
    maxconn = leading_number(call.word(4))
    if maxconn < 0:
        raise Said("Value out of range.\n")
    frontend.maxconn = maxconn
    world.relay.limits_changed(call.now)
    return ""


def _set_global_maxconn(world: World, call: Call) -> str:
    if not call.word(3):
        raise Said("Expects an integer value.\n")
    maxconn = leading_number(call.word(3))
    hard_maxconn = world.counters.hard_maxconn
    if hard_maxconn is not None and maxconn > hard_maxconn:
        raise Said("Value out of range.\n")
    world.counters.maxconn = maxconn if maxconn > 0 else hard_maxconn
    world.relay.admission.maxconn = world.counters.maxconn
    world.relay.limits_changed(call.now)
    return ""


def _set_rate_limit(world: World, call: Call) -> str:
    known = ("connections", "sessions", "ssl-sessions", "http-compression")
    if call.word(2) not in known or call.word(3) != "global":
        raise Said(_RATES)
    if not call.word(4):
        raise Said("Expects an integer value.\n")
    rate = leading_number(call.word(4))
    if rate < 0:
        raise Said("Value out of range.\n")
    if call.word(2) == "connections":
        world.counters.connections_per_s = rate
        world.relay.admission.connections_per_s = rate or None
    elif call.word(2) == "sessions":
        world.counters.sessions_per_s = rate
        world.relay.admission.sessions_per_s = rate or None
    else:
        raise Said(f"'{call.word(2)}' is not limited here.\n")
    world.relay.limits_changed(call.now)
    return ""


COMMANDS = (
    Command(
        "disable frontend",
        "disable frontend <frontend>             : temporarily disable specific frontend",
        "admin",
        _disable,
    ),
    Command(
        "enable frontend",
        "enable frontend <frontend>              : re-enable specific frontend",
        "admin",
        _enable,
    ),
    Command(
        "set maxconn frontend",
        "set maxconn frontend <frontend> <value> : change a frontend's maxconn setting",
        "admin",
        _set_maxconn,
    ),
    Command(
        "set maxconn global",
        "set maxconn global <value>              : change the per-process maxconn setting",
        "admin",
        _set_global_maxconn,
    ),
    Command(
        "set rate-limit",
        "set rate-limit <setting> <value>        : change a rate limiting value",
        "admin",
        _set_rate_limit,
    ),
    Command(
        "shutdown frontend",
        "shutdown frontend <frontend>            : stop a specific frontend",
        "admin",
        _shut_down,
    ),
)
