"""Commands about sessions: `show sess`, `shutdown session`, `shutdown sessions server`.

Owns their words and answers (src/stream.c). A line of `show sess` has all of HAProxy's fields in
its order, empty or 0 where they mean nothing here, so that tools find what they look for; in full,
those that mean something. A session is known by a number instead of an address in memory, written
alike (`0x1f`). Sessions of sections and servers that a reload took away are told of and ended like
all others: HAProxy's live in the process of the file before, and are asked for there.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from rabbitry.balancer.commands.world import Call, Command, Said, World
from rabbitry.balancer.servers import seconds
from rabbitry.balancer.session import Phase, Session, Side
from rabbitry.balancer.syslog_lines import MONTHS
from rabbitry.machine import Address

_UNITS_MS = ((86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1000, "s"), (1, "ms"))


def _show(world: World, call: Call) -> str:
    # One that has not said yet whom it is for is no session with HAProxy.
    sessions = [each for each in world.relay.sessions if each.phase is not Phase.GREETING]
    what = call.word(2)
    if what == "all":
        return "".join(_in_full(each, world, call.now) for each in sessions)
    number = _pointer(what)
    if number:
        session = world.relay.session_numbered(number)
        if session is None:
            return "Session not found.\n"
        return _in_full(session, world, call.now)
    return "".join(_line(each, call.now) for each in sessions)


def _pointer(text: str) -> int:
    """The number of a session; 0 for what is none."""
    try:
        return int(text, 0)
    except ValueError:
        return 0


def _line(session: Session, now: int) -> str:
    return (
        f"{session.number:#x}: proto={_protocol(session)} src={_source(session)} "
        f"fe={session.frontend.section.name} be={_backend(session)} srv={_server(session)} "
        f"ts=00 epoch=0 age={human_time(seconds(now - session.accepted_at) * 1000)} "
        f"calls=0 rate=0 cpu=0 lat=0 {_channel('rq', session.early_size)} {_channel('rp', 0)} "
        f"{_end('scf', session.client_side)} {_end('scb', session.server_side)} "
        f"exp={_expiry(session, now, '')} rc={session.retries} c_exp=\n"
    )


def _channel(name: str, waiting_bytes: int) -> str:
    """One direction. HAProxy's flags and times of each mean nothing here."""
    return f"{name}[f=000000h,i={waiting_bytes},an=00h,rx=,wx=,ax=]"


def _end(name: str, side: Side) -> str:
    """One side: HAProxy's states 8 (established) and 10 (closed)."""
    return f"{name}=[{8 if side.is_open else 10},0h,fd=-1]"


def _in_full(session: Session, world: World, now: int) -> str:
    """All there is to tell of a session."""
    frontend, backend, server = session.frontend, session.backend, session.server
    listener = session.listener
    lines = [
        f"{session.number:#x}: [{_accepted(session, world.facts.now, now)}] id={session.number} "
        f"proto={_protocol(session)} source={_source(session)}",
        f"  conn_retries={session.retries}, conn_exp={_expiry(session, now, '<NEVER>')} "
        f"waiting={int(session.phase.value == 'queued')}",
        f"  frontend={frontend.section.name} (id={frontend.section.number} "
        f"mode={frontend.section.mode}), listener={listener.bind.name or '?'} "
        f"(id={listener.number})" + _at(session.local),
    ]
    if backend is None:
        lines += ["  backend=<NONE> (id=-1 mode=-)", "  server=<NONE> (id=-1)"]
    else:
        section = backend.section
        lines.append(f"  backend={section.name} (id={section.number} mode={section.mode})")
        number = server.number if server is not None else 0
        where = server.address if server is not None else None
        lines.append(f"  server={_server(session)} (id={number})" + _at(where))
    age = human_time(seconds(now - session.accepted_at) * 1000)
    lines.append(f"  state={session.phase.value} age={age}")
    lines.append(f"  req=(total={session.bytes_in})")
    lines.append(f"  res=(total={session.bytes_out})")
    return "\n".join(lines) + "\n"


def _at(address: Address | None) -> str:
    return f" addr={address}" if address is not None and address.port else ""


def _accepted(session: Session, today: datetime | None, now: int) -> str:
    """When it was let in, as HAProxy writes it: `23/Nov/2026:04:05:35.496172`."""
    if today is None:
        return "?"
    date = today - timedelta(microseconds=now - session.accepted_at)
    return f"{date:%d}/{MONTHS[date.month - 1]}/{date:%Y:%H:%M:%S.%f}"


def _protocol(session: Session) -> str:
    if session.listener.is_unix:
        return "unix_stream"
    return "tcpv6" if ":" in session.client.host else "tcpv4"


def _source(session: Session) -> str:
    if session.listener.is_unix:
        return f"unix:{session.listener.number}"
    return f"{session.client.host}:{session.client.port}"


def _backend(session: Session) -> str:
    return session.backend.section.name if session.backend is not None else "<NONE>"


def _server(session: Session) -> str:
    return session.server.name if session.server is not None else "<none>"


def _expiry(session: Session, now: int, never: str) -> str:
    if session.timer_at is None:
        return never
    return human_time(max(session.timer_at - now, 0) // 1000)


def human_time(time_ms: int) -> str:
    """A time in its two largest units, as HAProxy writes it: `59m58s`, `1d3h`, `250ms`."""
    parts: list[str] = []
    for unit_ms, unit in _UNITS_MS:
        if (time_ms >= unit_ms or parts) and len(parts) < 2:
            if count := time_ms // unit_ms:
                parts.append(f"{count}{unit}")
            elif parts:
                break
            time_ms %= unit_ms
    return "".join(parts) or "0s"


def _shut_down_session(world: World, call: Call) -> str:
    number = _pointer(call.word(2))
    if not number:
        raise Said("Session pointer expected (use 'show sess').\n")
    session = world.relay.session_numbered(number)
    if session is None:
        raise Said("No such session (use 'show sess').\n")
    world.relay.shut_down_session(session, "K", call.now)
    return ""


def _shut_down_sessions(world: World, call: Call) -> str:
    name = call.word(3)
    left = [each.server for each in world.relay.sessions if each.server and each.server.key == name]
    try:
        left.append(world.server(name)[1])
    except Said:
        if not left:
            raise
    for server in dict.fromkeys(left):
        world.relay.shut_down_sessions(server, "K", call.now)
    return ""


COMMANDS = (
    Command(
        "show sess",
        "show sess [id]                          : "
        "report the list of current sessions or dump this exact session",
        "operator",
        _show,
    ),
    Command(
        "shutdown session",
        "shutdown session [id]                   : kill a specific session",
        "admin",
        _shut_down_session,
    ),
    Command(
        "shutdown sessions server",
        "shutdown sessions server <bk>/<srv>     : kill sessions on a server",
        "admin",
        _shut_down_sessions,
    ),
)
