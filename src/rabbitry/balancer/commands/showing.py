"""Commands that only tell: `show info`, `show stat`, `show servers`, `show backend`, ...

Owns their words and answers (src/stats.c, src/proxy.c, src/cli.c); the numbers are `statistics`'.
`show errors` is always empty: it is of malformed HTTP, which is not relayed here.
"""

from __future__ import annotations

from collections.abc import Sequence

from rabbitry.balancer.backends import Backend
from rabbitry.balancer.commands.world import Call, Command, Said, World, leading_number
from rabbitry.balancer.configuration.model import BindLine
from rabbitry.balancer.servers import Admin, Health, Server, seconds
from rabbitry.balancer.statistics.columns import (
    TYPE_BACKEND,
    TYPE_FRONTEND,
    TYPE_LISTENER,
    TYPE_SERVER,
)
from rabbitry.balancer.statistics.formats import json_schema, to_csv, to_json, to_typed
from rabbitry.balancer.statistics.process import Field, info_json, info_of, info_text, info_typed
from rabbitry.balancer.statistics.rows import Selection, StatisticsRow

_STATE_COLUMNS = (
    "be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight "
    "srv_time_since_last_change srv_check_status srv_check_result srv_check_health srv_check_state "
    "srv_agent_state bk_f_forced_id srv_f_forced_id srv_fqdn srv_port srvrecord srv_use_ssl "
    "srv_check_port srv_check_addr srv_agent_addr srv_agent_port"
)
_CHECK_STATUSES = (
    *("UNK", "INI", "", "", "HANA", "SOCKERR", "L4OK", "L4TOUT", "L4CON", "L6OK", "L6TOUT"),
    *("L6RSP", "L7TOUT", "L7RSP", "", "L7OK", "L7OKC", "L7STS", "PROCERR", "PROCTOUT", "PROCOK"),
)
_PASSED, _FAILED, _UNKNOWN = 3, 2, 0
_CONFIGURED, _ENABLED, _PAUSED, _IS_AGENT = 0x02, 0x04, 0x08, 0x10


def info_fields(world: World, now: int, rows: Sequence[StatisticsRow] | None = None) -> list[Field]:
    """What `show info` says; `rows` are those of `now`, where they are known."""
    rows = world.rows(now) if rows is None else rows
    sent = sum(row.bout or 0 for row in rows if row.type == TYPE_FRONTEND)
    proxies = world.proxies
    process = proxies.configuration.process
    pages = sum(len(front.section.binds) for front in proxies.frontends if front.section.has_pages)
    world.counters.listeners = len(proxies.listeners) + pages + len(process.runtime_sockets)
    return info_of(
        proxies.configuration.process, world.counters, proxies.frontends, sent, world.facts, now
    )


def _show_info(world: World, call: Call) -> str:
    fields = info_fields(world, call.now)
    meanings = "desc" in call.words[2:]
    formats = [word for word in call.words[2:] if word in ("typed", "json")]
    if formats[-1:] == ["json"]:
        return info_json(fields) + "\n"
    if formats:
        return info_typed(fields, meanings)
    return info_text(fields, meanings)


def _show_stat(world: World, call: Call) -> str:
    words = call.words[2:]
    if words[:1] == ["domain"]:
        if words[1:2] == ["resolvers"]:
            return ""
        if words[1:2] != ["proxy"]:
            raise Said("Invalid statistics domain.\n")
        words = words[2:]
    iid, types, sid = None, None, None
    if len(words) >= 3:
        iid = world.proxy_number(words[0])
        mask = leading_number(words[1])
        known = (TYPE_FRONTEND, TYPE_BACKEND, TYPE_SERVER, TYPE_LISTENER)
        types = tuple(each for each in known if mask & (1 << each))
        sid = leading_number(words[2])
        words = words[3:]
    selection = Selection(
        iid, types, None if sid == -1 else sid, "no-maint" in words, "up" in words
    )
    rows = selection.of(world.rows(call.now))
    legends = call.terminal.socket_level != "user"
    formats = [word for word in words if word in ("typed", "json")]
    if formats[-1:] == ["json"]:
        return to_json(rows, selection, legends) + "\n"
    if formats:
        return to_typed(rows, selection, legends, "desc" in words)
    return to_csv(rows, selection, legends)


def _backends(world: World, name: str) -> list[Backend]:
    if not name:
        return world.proxies.backends
    backend = world.find_backend(name)
    if backend is None:
        raise Said("Can't find backend.\n")
    return [backend]


def _show_servers_state(world: World, call: Call) -> str:
    lines = ["1", f"# {_STATE_COLUMNS}"]
    for backend in _backends(world, call.word(3)):
        lines += [_state(backend, server, call.now) for server in backend.servers]
    return "\n".join(lines) + "\n"


def _state(backend: Backend, server: Server, now: int) -> str:
    """A line that HAProxy's `load-server-state-from-file` takes (src/proxy.c)."""
    line, section = server.line, backend.section
    check, agent = line.check_address, line.agent_address
    return " ".join(
        str(each)
        for each in (
            *(section.number, section.name, server.number, server.name, server.address.host),
            *(server.operating.value, int(server.admin), server.weight, server.initial_weight),
            seconds(now) - seconds(server.changes.at),
            *_check_state(server.health, line.check),
            _flags(server.health, line.check, server, Admin.CONFIGURED_MAINT),
            _flags(server.agent, line.agent_check, server) | (_IS_AGENT * line.agent_check),
            *(0, 0, "-", server.address.port, "-", int(line.tls is not None)),
            *((check.port, check.host) if check else (0, "-")),
            *((agent.host, agent.port) if agent else ("-", 0)),
        )
    )


def _check_state(health: Health, configured: bool) -> tuple[int, int, int]:
    """Number of the status, result, health."""
    status = health.check.status.removeprefix("* ")
    number = _CHECK_STATUSES.index(status) if status in _CHECK_STATUSES else 0
    result = _PASSED if health.passed else _FAILED
    return number, result if configured and status != "INI" else _UNKNOWN, health.value


def _flags(health: Health, configured: bool, server: Server, paused_by: Admin = Admin.READY) -> int:
    enabled = configured and health.enabled
    in_maintenance = bool(server.admin & Admin.MAINT)
    paused = in_maintenance and (enabled or bool(server.admin & paused_by))
    return _CONFIGURED * configured + _ENABLED * enabled + _PAUSED * paused


def _show_servers_conn(world: World, call: Call) -> str:
    """Idle connections and those of HTTP: there are none here, as with HAProxy in `mode tcp`."""
    lines = [
        "# bkname/svname bkid/svid addr port - purge_delay used_cur used_max need_est unsafe_nb "
        "safe_nb idle_lim idle_cur idle_per_thr[1]"
    ]
    for backend in _backends(world, call.word(3)):
        for server in backend.servers:
            address, needed = server.address, int(bool(server.counters.connects_total))
            lines.append(
                f"{backend.section.name}/{server.name} {backend.section.number}/{server.number} "
                f"{address.host} {address.port} - 5000 0 {needed} {needed} 0 0 -1 0 0"
            )
    return "\n".join(lines) + "\n"


def _show_backend(world: World, call: Call) -> str:
    names = (backend.section.name for backend in world.proxies.backends)
    return "# name\n" + "".join(f"{name}\n" for name in names)


def _show_errors(world: World, call: Call) -> str:
    if call.word(2):
        world.proxy_number(call.word(2))
    return f"Total events captured on [{world.facts.date}] : 0\n"


def _show_version(world: World, call: Call) -> str:
    return f"{world.facts.version}\n"


def _show_schema(world: World, call: Call) -> str:
    return json_schema() + "\n"


def _show_level(world: World, call: Call) -> str:
    return f"{call.terminal.level}\n"


def _show_sockets(world: World, call: Call) -> str:
    lines = [
        f"{_place(each.bind)} {each.bind.level} all\n"
        for each in world.proxies.configuration.process.runtime_sockets
    ]
    return "# socket lvl processes\n" + "".join(lines)


def _place(bind: BindLine) -> str:
    if bind.address.host.startswith("/"):
        return f"unix@{bind.address.host}"
    kind = "ipv6" if ":" in bind.address.host else "ipv4"
    return f"{kind}@{bind.address}"


COMMANDS = (
    Command(
        "show backend",
        "show backend                            : list backends in the current running config",
        "user",
        _show_backend,
    ),
    Command(
        "show cli level",
        "show cli level                          : display the level of the current CLI session",
        "user",
        _show_level,
    ),
    Command(
        "show cli sockets",
        "show cli sockets                        : dump list of cli sockets",
        "user",
        _show_sockets,
    ),
    Command(
        "show errors",
        "show errors [<px>] [request|response]   : "
        "report last request and/or response errors for each proxy",
        "operator",
        _show_errors,
    ),
    Command(
        "show info",
        "show info [desc|json|typed|float]*      : report information about the running process",
        "user",
        _show_info,
    ),
    Command(
        "show schema json",
        "show schema json                        : report schema used for stats",
        "user",
        _show_schema,
    ),
    Command(
        "show servers conn",
        "show servers conn [<backend>]           : "
        "dump server connections status (all or for a single backend)",
        "user",
        _show_servers_conn,
    ),
    Command(
        "show servers state",
        "show servers state [<backend>]          : "
        "dump volatile server information (all or for a single backend)",
        "user",
        _show_servers_state,
    ),
    Command(
        "show stat",
        "show stat [desc|json|no-maint|typed|up]*: report counters for each proxy and server",
        "user",
        _show_stat,
    ),
    Command(
        "show version",
        "show version                            : show version of the current process",
        "user",
        _show_version,
    ),
)
