"""How all servers and sections are, as lines of the log: what HAProxy does at SIGHUP.

Owns what is told (src/haproxy.c, `sig_dump_state`), by section: a heading, its servers, its sums.

Invariants: pure; nothing is changed.
"""

from __future__ import annotations

from collections.abc import Iterator

from rabbitry.balancer.backends import Backend
from rabbitry.balancer.proxies import Proxies
from rabbitry.balancer.servers import Operating
from rabbitry.balancer.session import Frontend
from rabbitry.machine import Report

STATE = "state of sections"
"""What reports say whose `line` is the whole line."""


def dump(proxies: Proxies) -> list[Report]:
    """Return the lines, in the order of the file."""
    fronts = {front.section.name: front for front in proxies.frontends}
    backs = {back.section.name: back for back in proxies.backends}
    told: list[Report] = []
    for section in proxies.configuration.proxies:
        name = next(side.name for side in section if side is not None)
        for line in _lines(name, fronts.get(name), backs.get(name)):
            details = {"proxy": name, "line": line, "severity": "notice"}
            told.append(Report("info", STATE, details))
    return told


def _lines(name: str, front: Frontend | None, back: Backend | None) -> Iterator[str]:
    yield f"SIGHUP received, dumping servers states for proxy {name}."
    servers = back.servers if back is not None else []
    for server in servers:
        state = "DOWN" if server.operating is Operating.STOPPED else "UP"
        yield (
            f"SIGHUP: Server {name}/{server.name} is {state}. "
            f"Conn: {server.counters.sessions} act, {server.queued} pend, "
            f"{server.counters.sessions_total} tot."
        )
    yield f"SIGHUP: Proxy {name} {_verdict(back)} {_sums(front, back)}."


def _verdict(back: Backend | None) -> str:
    if back is None or not back.servers:
        return "has no servers."
    active, backups = len(back.active_usable), len(back.backup_usable)
    if active:
        return f"has {active} active servers and {backups} backup servers available."
    return "is running on backup servers !" if backups else "has no server available !"


def _sums(front: Frontend | None, back: Backend | None) -> str:
    clients = len(front.sessions) if front is not None else 0
    clients_total = front.connections_total if front is not None else 0
    if back is None:
        return f"Conn: act(FE+BE): {clients}+0, 0 pend (0 unass), tot(FE+BE): {clients_total}+0"
    waiting = back.queued + sum(server.queued for server in back.servers)
    return (
        f"Conn: act(FE+BE): {clients}+{back.counters.sessions}, {waiting} pend "
        f"({back.queued} unass), tot(FE+BE): {clients_total}+{back.counters.sessions_total}"
    )
