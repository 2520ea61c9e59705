"""`clear counters [all]`: begin to count anew.

Owns what is reset (src/stats.c, `cli_parse_clear_counters`): maxima, and with `all` every counter
but those of what is under way now.
"""

from __future__ import annotations

from rabbitry.balancer.commands.world import Call, Command, Said, World
from rabbitry.balancer.servers import Counters
from rabbitry.balancer.statistics.gathering import UnderWay


def _clear_counters(world: World, call: Call) -> str:
    everything = call.word(2) == "all"
    if everything and not call.terminal.may("admin"):
        raise Said("Permission denied\n")
    under_way = UnderWay(world.relay.sessions)
    for frontend in world.proxies.frontends:
        frontend.sessions_max = 0
        frontend.rate.highest = 0
        frontend.tls.clear()
        if everything:
            bytes_in, bytes_out = under_way.of(frontend)
            # What `show info` tells of the process is not counted anew.
            world.counters.past_sessions += frontend.sessions_total
            world.counters.past_bytes_out += frontend.bytes_out + bytes_out
            frontend.connections_total = frontend.sessions_total = 0
            frontend.internal_errors = 0
            # What is under way is added when it ends; what it has moved so far shall not count.
            frontend.bytes_in, frontend.bytes_out = -bytes_in, -bytes_out
    for listener in world.proxies.listeners.values():
        listener.sessions_max = 0
        listener.tls.clear()
        if everything:
            bytes_in, bytes_out = under_way.of(listener)
            listener.sessions_total = 0
            listener.bytes_in, listener.bytes_out = -bytes_in, -bytes_out
    for backend in world.proxies.backends:
        backend.queued_max = 0
        backend.tls.clear()
        backend.counters = _cleared(backend.counters, under_way.of(backend), everything)
        for server in backend.servers:
            server.queued_max = 0
            server.tls.clear()
            server.counters = _cleared(server.counters, under_way.of(server), everything)
            if everything:
                server.health.failed = server.agent.failed = 0
                server.changes.downs = 0
    world.counters.connection_rate.highest = 0
    world.counters.tls.clear_highest()
    return ""


def _cleared(counters: Counters, under_way: tuple[int, int], everything: bool) -> Counters:
    """The same counters without maxima, or without anything that is over."""
    counters.sessions_max = 0
    counters.rate.highest = 0
    if not everything:
        for times in (counters.queue_times, counters.connect_times, counters.total_times):
            times.highest_ms = 0
        return counters
    fresh = Counters(sessions=counters.sessions, rate=counters.rate)
    fresh.bytes_in, fresh.bytes_out = -under_way[0], -under_way[1]
    fresh.last_session_at = counters.last_session_at
    return fresh


COMMANDS = (
    Command(
        "clear counters",
        "clear counters [all]                    : clear max statistics counters (or all counters)",
        "operator",
        _clear_counters,
    ),
)
