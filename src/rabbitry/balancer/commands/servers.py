"""Commands that steer servers: `set server`, weights, maintenance, checks on and off.

Owns their words and answers (src/server.c, `cli_parse_set_server` and its like). What a change
brings with it is `transitions`'.
"""

from __future__ import annotations

import ipaddress
from dataclasses import replace

from rabbitry.balancer.backends import Backend
from rabbitry.balancer.commands.world import Call, Command, Said, World, is_number, leading_number
from rabbitry.balancer.servers import Admin, Server
from rabbitry.machine import Address

WEIGHT_MAX = 256
_CHANGED = "changed from CLI"
_USAGE = (
    "usage: set server <backend>/<server> addr | agent | agent-addr | agent-port | agent-send | "
    "check-addr | check-port | fqdn | health | ssl | state | weight\n"
)


def set_state(world: World, server: Server, state: str, now: int) -> None:
    """Make a server `ready`, `drain` or `maint` (src/server.c, `srv_adm_set_ready` and others)."""
    transitions = world.transitions
    if state == "maint":
        transitions.set_admin(server, Admin.FORCED_MAINT, now)
        transitions.clear_admin(server, Admin.FORCED_DRAIN, now)
    elif state == "drain":
        transitions.set_admin(server, Admin.FORCED_DRAIN, now)
        transitions.clear_admin(server, Admin.FORCED_MAINT, now)
    else:
        transitions.clear_admin(server, Admin.FORCED_DRAIN, now)
        transitions.clear_admin(server, Admin.FORCED_MAINT, now)


def set_health(world: World, server: Server, health: str, now: int, why: str) -> None:
    """Take a server for `up`, `stopping` or `down`, until checks find something else."""
    if health == "down":
        server.health.sink()
        world.transitions.stop(server, now, reason=why)
        return
    server.health.fill()
    if health == "up":
        world.transitions.run(server, now, reason=why)
    else:
        world.transitions.finish(server, now, reason=why)


def set_agent_health(world: World, server: Server, is_up: bool, now: int, why: str) -> None:
    """Take a server for what its agent would say."""
    if is_up:
        server.agent.fill()
        world.transitions.run(server, now, reason=why)
    else:
        server.agent.sink()
        world.transitions.stop(server, now, reason=why)


def weight_of(backend: Backend, server: Server, text: str) -> int:
    """Read a weight, absolute or in percent of the initial one. Raises `Said`."""
    if not text:
        raise Said("Require <weight> or <weight%>.\n")
    if not is_number(text):
        raise Said("Empty weight string empty or preceded by garbage")
    weight = leading_number(text)
    rest = text.lstrip("+-0123456789")
    if rest == "%":
        if weight < 0:
            raise Said("Relative weight must be positive.\n")
        weight = min(server.initial_weight * min(weight, 100 * WEIGHT_MAX) // 100, WEIGHT_MAX)
    elif not 0 <= weight <= WEIGHT_MAX:
        raise Said("Absolute weight can only be between 0 and 256 inclusive.\n")
    elif rest:
        raise Said("Trailing garbage in weight string")
    if weight and weight != server.initial_weight and not backend.weights_are_dynamic:
        raise Said(
            "Backend is using a static LB algorithm and only accepts weights '0%' and '100%'.\n"
        )
    return weight


def _set_server(world: World, call: Call) -> str:
    backend, server = world.server(call.word(2))
    what, value, now = call.word(3), call.word(4), call.now
    match what:
        case "weight":
            world.transitions.set_weight(server, weight_of(backend, server, value), now)
        case "state":
            if value not in ("ready", "drain", "maint"):
                raise Said("'set server <srv> state' expects 'ready', 'drain' and 'maint'.\n")
            set_state(world, server, value, now)
        case "health":
            if server.tracked is not None:
                raise Said("cannot change health on a tracking server.\n")
            if value not in ("up", "stopping", "down"):
                raise Said("'set server <srv> health' expects 'up', 'stopping', or 'down'.\n")
            set_health(world, server, value, now, _CHANGED)
        case "agent":
            if not server.agent.enabled:
                raise Said("agent checks are not enabled on this server.\n")
            if value not in ("up", "down"):
                raise Said("'set server <srv> agent' expects 'up' or 'down'.\n")
            set_agent_health(world, server, value == "up", now, _CHANGED)
        case "addr":
            return _set_address(server, call)
        case "check-addr" | "check-port":
            _set_check_address(server, call)
        case "agent-addr" | "agent-port":
            _set_agent_address(server, call)
        case "agent-send":
            if not server.agent.enabled:
                raise Said("agent checks are not enabled on this server.\n")
            server.line = replace(server.line, agent_send=value.encode())
        case "fqdn":
            if not value:
                raise Said("set server <b>/<s> fqdn requires a FQDN.\n")
            raise Said("set server <b>/<s> fqdn failed because no resolution is configured.\n")
        case "ssl":
            _set_tls(server, value)
        case _:
            raise Said(_USAGE)
    return ""


def _set_address(server: Server, call: Call) -> str:
    if not call.word(4):
        raise Said("set server <b>/<s> addr requires an address and optionally a port.\n")
    port = call.word(6) if call.word(5) == "port" else ""
    raise Said(
        _change_address(server, call.word(4), port) + " by 'stats socket command'\n", "warning"
    )


def _change_address(server: Server, host: str, port: str) -> str:
    """Change a server's address; say what has changed (src/server.c, `srv_update_addr_port`)."""
    if not _is_ip(host):
        return f"Invalid addr '{host}'"
    before = server.address
    if not _is_ip(before.host):
        return (
            "Update for the current server address family is only supported through configuration "
            "file"
        )
    said = "no need to change the addr"
    if host != before.host:
        said = f"IP changed from '{before.host}' to '{host}'"
    number = before.port
    if port and not is_number(port):
        said += f", problem converting port '{port}' to an int"
    elif port:
        number = leading_number(port) & 0xFFFF
        said += ", no need to change the port"
        if number != before.port:
            said = said.replace(", no need to change the port", "")
            said += f", port changed from '{before.port}' to '{number}'"
    server.address = Address(host, number)
    return said


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _address_and_port(call: Call, before: Address) -> Address:
    """The address of `...-addr A [port P]` or `...-port P`. Raises `Said`."""
    what = call.word(3)
    if not call.word(4):
        if what.endswith("-addr"):
            raise Said(f"set server <b>/<s> {what} requires an address and optionally a port.\n")
        raise Said(f"set server <b>/<s> {what} requires a port.\n")
    host, port = before.host, ""
    if what.endswith("-addr"):
        host = call.word(4)
        port = call.word(6) if call.word(5) == "port" else ""
        if not _is_ip(host):
            raise Said(f"invalid addr '{host}'", "warning")
    else:
        port = call.word(4)
    if not port:
        return Address(host, before.port)
    if not port.isascii() or not port.isdigit():
        raise Said("provided port is not an integer", "warning")
    if int(port) > 65535:
        raise Said("provided port is invalid", "warning")
    return Address(host, int(port))


def _set_check_address(server: Server, call: Call) -> None:
    address = _address_and_port(call, server.line.check_address or server.address)
    if not server.health.enabled:
        raise Said("health checks are not enabled on this server", "warning")
    server.line = replace(server.line, check_address=address)


def _set_agent_address(server: Server, call: Call) -> None:
    if call.word(4) and not server.agent.enabled:
        raise Said("agent checks are not enabled on this server", "warning")
    address = _address_and_port(call, server.line.agent_address or server.address)
    server.line = replace(server.line, agent_address=address)


def _set_tls(server: Server, value: str) -> None:
    """Switch TLS towards a server: only one whose line says `ssl` knows how."""
    if server.line.tls is None and server.tls_switched_off is None:
        raise Said(
            "'set server <srv> ssl' cannot be set.  default-server should define ssl settings\n"
        )
    if value not in ("on", "off"):
        raise Said("'set server <srv> ssl' expects 'on' or 'off'.\n")
    if value == "off" and server.line.tls is not None:
        server.tls_switched_off = server.line.tls
        server.line = replace(server.line, tls=None)
    elif value == "on" and server.line.tls is None:
        server.line = replace(server.line, tls=server.tls_switched_off)
        server.tls_switched_off = None
    raise Said("server ssl setting updated.\n", "notice")


def _set_weight(world: World, call: Call) -> str:
    backend, server = world.server(call.word(2))
    world.transitions.set_weight(server, weight_of(backend, server, call.word(3)), call.now)
    return ""


def _get_weight(world: World, call: Call) -> str:
    name = call.word(2)
    if not name.partition("/")[2]:
        raise Said("Require 'backend/server'.\n")
    _, server = world.server(name)
    return f"{server.weight} (initial {server.initial_weight})\n"


def _set_maxconn(world: World, call: Call) -> str:
    backend, server = world.server(call.word(3))
    text = call.word(4)
    if not text:
        raise Said("Require <maxconn>.\n")
    if not is_number(text):
        raise Said("maxconn string empty or preceded by garbage")
    if text.lstrip("+-0123456789"):
        raise Said("Trailing garbage in maxconn string")
    world.transitions.set_maxconn(server, max(leading_number(text), 0), call.now)
    world.relay.limits_changed(call.now, backend)
    return ""


def _enable_server(world: World, call: Call) -> str:
    set_state(world, world.server(call.word(2))[1], "ready", call.now)
    return ""


def _disable_server(world: World, call: Call) -> str:
    _, server = world.server(call.word(2))
    set_state(world, server, "maint", call.now)
    return ""


def _enable_health(world: World, call: Call) -> str:
    _, server = world.server(call.word(2))
    if not server.line.check:
        raise Said("Health check was not configured on this server, cannot enable.\n")
    server.health.enabled = True
    return ""


def _disable_health(world: World, call: Call) -> str:
    world.server(call.word(2))[1].health.enabled = False
    return ""


def _enable_agent(world: World, call: Call) -> str:
    _, server = world.server(call.word(2))
    if not server.line.agent_check:
        raise Said("Agent was not configured on this server, cannot enable.\n")
    server.agent.enabled = True
    return ""


def _disable_agent(world: World, call: Call) -> str:
    world.server(call.word(2))[1].agent.enabled = False
    return ""


COMMANDS = (
    Command(
        "disable agent",
        "disable agent                           : disable agent checks",
        "admin",
        _disable_agent,
    ),
    Command(
        "disable health",
        "disable health                          : disable health checks",
        "admin",
        _disable_health,
    ),
    Command(
        "disable server",
        "disable server (DEPRECATED)             : "
        "disable a server for maintenance (use 'set server' instead)",
        "admin",
        _disable_server,
    ),
    Command(
        "enable agent",
        "enable agent                            : enable agent checks",
        "admin",
        _enable_agent,
    ),
    Command(
        "enable health",
        "enable health                           : enable health checks",
        "admin",
        _enable_health,
    ),
    Command(
        "enable server",
        "enable server  (DEPRECATED)             : "
        "enable a disabled server (use 'set server' instead)",
        "admin",
        _enable_server,
    ),
    Command(
        "get weight",
        "get weight <bk>/<srv>                   : report a server's current weight",
        "user",
        _get_weight,
    ),
    Command(
        "set maxconn server",
        "set maxconn server <bk>/<srv>           : change a server's maxconn setting",
        "admin",
        _set_maxconn,
    ),
    Command(
        "set server",
        "set server <bk>/<srv> [opts]            : change a server's state, weight, address or ssl",
        "admin",
        _set_server,
    ),
    Command(
        "set weight",
        "set weight <bk>/<srv>  (DEPRECATED)     : "
        "change a server's weight (use 'set server' instead)",
        "admin",
        _set_weight,
    ),
)
