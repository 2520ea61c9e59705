"""What must be true of a balancer, at every step and at the end of a run.

Owns the judgement: `WatchedBalancer` is a balancer whose every step is looked at; `look_at_streams`
looks at what clients and servers have heard when all is over. Raises `Wrong`, whose text says what
is not as it must be.

Invariants: nothing here changes what the balancer does.
"""

from __future__ import annotations

from collections import Counter

from rabbitry.balancer.balancer import Balancer
from rabbitry.balancer.configuration.model import Configuration
from rabbitry.balancer.servers import Operating
from rabbitry.balancer.session import Phase
from rabbitry.balancer.statistics.rows import StatisticsRow
from rabbitry.machine import (
    CloseLink,
    Effect,
    Event,
    JoinLinks,
    LinkClosed,
    OpenLink,
    Report,
)
from rabbitry.simulation.relayed_peers import Conversation, ScriptedServer, stream


class Wrong(AssertionError):
    """Something is not as it must be."""


class WatchedBalancer:
    """A balancer that is looked at after each step. `ended` has what was told of sessions."""

    def __init__(self, configuration: Configuration) -> None:
        self.balancer = Balancer(configuration)
        self.ended: list[dict[str, object]] = []
        self.places_max: Counter[str] = Counter()
        self._keys = {
            server.address: server.key
            for backend in self.balancer.proxies.backends
            for server in backend.servers
        }
        self._open: dict[int, str] = {}  # links of sessions to servers
        self._taken: Counter[str] = Counter()
        self._partners: dict[int, int] = {}

    def step(self, event: Event, now: int) -> list[Effect]:
        """Take one event as the balancer does, and look."""
        closed = event if isinstance(event, LinkClosed) else None
        if closed is not None:
            self._gone(closed.link)
        effects = self.balancer.step(event, now)
        for effect in effects:
            match effect:
                case OpenLink(link, address, _, beside) if beside:
                    self._open[link] = self._keys[address]
                    self._taken[self._keys[address]] += 1
                case CloseLink(link):
                    self._gone(link)
                case JoinLinks(first, second):
                    self._partners |= {first: second, second: first}
                case Report(_, "session ended", details):
                    self.ended.append(dict(details))
                case _:
                    pass
        self._look_at_places()
        if closed is not None and closed.reason:
            self._look_at_partner(closed.link)
        return effects

    def _gone(self, link: int) -> None:
        key = self._open.pop(link, None)
        if key is not None:
            self._taken[key] -= 1

    def _look_at_places(self) -> None:
        """No server has more sessions than it may, nor holds a place nobody has."""
        for backend in self.balancer.proxies.backends:
            for server in backend.servers:
                taken = self._taken[server.key]
                self.places_max[server.key] = max(self.places_max[server.key], taken)
                if server.maxconn and max(taken, server.served) > server.maxconn:
                    raise Wrong(
                        f"{server.key} has {taken} links and {server.served} places taken "
                        f"of {server.maxconn}"
                    )
                if taken > server.served:
                    raise Wrong(f"{server.key} has {taken} links, {server.served} places taken")
                # A limit that grows with the load is only looked at when a place gets free.
                fixed = server.maxconn and server.line.minconn == server.maxconn
                fixed = fixed and server.operating is Operating.RUNNING
                may_take = fixed and server.is_usable and not server.is_backup
                if may_take and backend.queued and server.served < server.maxconn_now:
                    raise Wrong(f"{server.key} has a place, and {backend.queued} wait")

    def _look_at_partner(self, link: int) -> None:
        """A side that broke off has taken the other with it, but for what is under way."""
        other = self._partners.get(link)
        session = self.balancer.relay.table.by_link.get(other or 0)
        if session is not None and session.phase is Phase.RELAYING:
            raise Wrong(f"link {link} broke, and session {session.number} goes on")

    # --- at the end -----------------------------------------------------------------------------

    def look_at_end(self, rows: list[StatisticsRow]) -> None:
        """Nothing is left of any session, and the figures are those of what was told."""
        relay = self.balancer.relay
        left = [*relay.table.by_link, *relay.table.by_timer]
        if left or not relay.queueing.is_empty or self._open:
            raise Wrong(f"left behind: {left}, links to servers {self._open}")
        front = next(row for row in rows if row.svname == "FRONTEND")
        back = next(row for row in rows if row.svname == "BACKEND")
        servers = [row for row in rows if row.svname not in ("FRONTEND", "BACKEND")]
        states = Counter(str(details["state"]) for details in self.ended)
        self._agree("sessions now", 0, *[row.scur for row in rows])
        self._agree("waiting now", 0, back.qcur, *[row.qcur for row in servers])
        self._agree("sessions", len(self.ended), front.stot, back.stot)
        self._agree("bytes in", self._sum("bytes_in"), front.bin, back.bin)
        self._agree("bytes out", self._sum("bytes_out"), front.bout, back.bout)
        self._agree("retries", sum(row.wretr or 0 for row in servers), back.wretr)
        self._agree("redispatches", sum(row.wredis or 0 for row in servers), back.wredis)
        self._agree("connects", sum(row.connect or 0 for row in servers), back.connect)
        self._agree("chosen", sum(row.lbtot or 0 for row in servers), back.lbtot)
        by_clients = sum(count for state, count in states.items() if state in _CLIENT_ABORTS)
        by_servers = sum(count for state, count in states.items() if state in _SERVER_ABORTS)
        self._agree("broken off by clients", by_clients, back.cli_abrt)
        self._agree("broken off by servers", by_servers, back.srv_abrt)
        known = _CLIENT_ABORTS | _SERVER_ABORTS | _OTHERS
        unknown = sorted(set(states) - known)
        if unknown:
            raise Wrong(f"termination states that HAProxy does not have: {unknown}")
        for row in servers:
            if (row.smax or 0) < self.places_max[f"back/{row.svname}"]:
                raise Wrong(f"{row.svname}: smax {row.smax} is too small")

    def _sum(self, name: str) -> int:
        return sum(value for each in self.ended if isinstance(value := each[name], int))

    @staticmethod
    def _agree(what: str, expected: int, *told: int | None) -> None:
        if any(each != expected for each in told):
            raise Wrong(f"{what}: {expected} by what happened, {told} by the statistics")


_CLIENT_ABORTS = frozenset({"CD", "cD", "cC", "cQ", "cL", "CL"})
_SERVER_ABORTS = frozenset({"SD", "sD", "sL", "SL"})
_OTHERS = frozenset({"--", "CC", "CQ", "SC", "sC", "SQ", "sQ"}) | {
    cause + stage for cause in "DKU" for stage in "-CQDL"
}


def look_at_streams(
    clients: dict[int, Conversation], servers: list[ScriptedServer], *, complete: bool
) -> None:
    """Every byte arrived in order, none is of another stream; `complete`: and all of them have."""
    heard: dict[int, list[tuple[ScriptedServer, Conversation]]] = {}
    for server in servers:
        for talk in server.conversations:
            if talk.number < 0:
                continue  # a health check, or one that ended before it had said who it is
            heard.setdefault(talk.number, []).append((server, talk))
            expected = talk.number.to_bytes(4, "big") + stream(talk.number, 0, len(talk.received))
            if not expected.startswith(talk.received):
                raise Wrong(f"server {server.number} has not what client {talk.number} sent")
    for number, talk in clients.items():
        theirs = heard.get(number, [])
        if len(theirs) > 1:
            raise Wrong(f"client {number} was heard by {len(theirs)} servers")
        _look_at_answer(number, talk)
        if theirs and complete:
            _look_at_both(talk, *theirs[0])


def _look_at_answer(number: int, talk: Conversation) -> None:
    if not talk.received:
        return
    server = talk.received[0]
    if talk.received[1:] != stream(1000 + server, 0, len(talk.received) - 1):
        raise Wrong(f"client {number} has not what server {server} sent")


def _look_at_both(client: Conversation, server: ScriptedServer, talk: Conversation) -> None:
    """Each has heard all that the other has sent, and its end."""
    heard, sent = len(talk.received), client.sent + 4
    if not talk.finish_received or heard != sent:
        name = f"server {server.number}"
        raise Wrong(f"{name} heard {heard} of the {sent} bytes of client {client.number}")
    heard, sent = len(client.received), talk.sent + 1
    if not client.finish_received or (talk.sent and heard != sent):
        name = f"client {client.number}"
        raise Wrong(f"{name} heard {heard} of the {sent} bytes of server {server.number}")
