"""The coordinator: one arbiter of who is alive, who leads what, and what is declared.

It keeps a single linear history: every change of the catalog has a revision, is committed to the
store before anybody hears of it, and goes to all nodes in order. All that one step changes is one
commit: a node's leaving and the new places of its queues are in the store together, or neither is.
A request is judged against the catalog with everything before it, and answered when every node that
is in the cluster has followed to its revision: what is declared through one node is there on all.

Told race by race, each with its test of the same name in tests/cluster/test_coordinator*.py:

lease. A node that has not been heard of for `lease_us` has left, as has one whose link broke: its
queues get new leaders at once, from their in-sync sets. It may be alive for all that; it is fenced,
for its mirrors follow the new epoch (see `cluster.leader`). When it is heard again it joins anew,
and mirrors. A coordinator that was away itself (started again, stopped by a signal, asleep with its
machine) has heard nobody; it gives every node a lease's time from then on.

dead or hung. Only when a node's process is known to be dead (it said so itself by joining with
another incarnation, or its supervisor says so) are its exclusive queues deleted, and its replicas
worth what its store has (`cluster.placement` tells those cases). The store keeps who has left
without being dead, for its next word may be that it is another process now.

late admission. A leader asks to admit a mirror that has left and joined again since: the request
carries the revision that the leader knew, and is void if the mirror's joining is younger. So it is
where a policy has moved mirrors since, for one may have been taken away and put back, empty.

store refuses. What is not durable is not told, not even a failover: a coordinator started again
would name another leader in the same epoch. What was refused is tried again (`cluster.annals`).

older store. A node that has heard more than this store has told is turned away before anything is
changed, and ends: the store is an older copy, and would delete what it does not know (see `lives`).

asker gone. The answer to a request waits for nodes, not for the asker: one that has gone does not
hear it, and asks again when it is back; all requests may be carried out twice. Nodes that a
coordinator started again expects but has not heard yet are waited for as well, for their lease.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from rabbitry.cluster.annals import RETRY_US, Annals
from rabbitry.cluster.answers import Answers
from rabbitry.cluster.catalog import Catalog
from rabbitry.cluster.catalog_store import Counters, load
from rabbitry.cluster.declarations import judge
from rabbitry.cluster.definitions import definitions_of
from rabbitry.cluster.handing_over import HandingOver
from rabbitry.cluster.leases import Leases
from rabbitry.cluster.links import ClusterLink
from rabbitry.cluster.lives import Lives, refusal_of
from rabbitry.cluster.members import Member
from rabbitry.cluster.operator_desk import StatusDesk, judge_all, who_leads
from rabbitry.cluster.operator_log import lines_of
from rabbitry.cluster.placement import place_by_policy
from rabbitry.cluster.queue_records import Record
from rabbitry.cluster.rebalancing import Rebalancing
from rabbitry.cluster.records import (
    AdmitMirror,
    AnyRecord,
    Change,
    Changed,
    Followed,
    Heard,
    Join,
    NodeJoined,
    Quiesced,
    Refused,
    Request,
    Requested,
    StatisticsAsked,
    StatisticsTold,
    TurnedAway,
)
from rabbitry.cluster.relocation import Relocation
from rabbitry.cluster.stores import Stores
from rabbitry.cluster.waiting import why_waiting
from rabbitry.cluster.welcoming import Welcoming
from rabbitry.machine import (
    Answer,
    Asked,
    BytesReceived,
    CloseLink,
    CommitFailed,
    Committed,
    Effect,
    Entropy,
    Event,
    LinkClosed,
    LinkFinished,
    LinkOpened,
    Report,
    SendBytes,
    SetTimer,
    Started,
    TimerFired,
)
from rabbitry.wire.errors import NOT_ALLOWED

LOGIN_TIMEOUT_US: Final = 5_000_000
LIFE_BYTES: Final = 8


@dataclass(frozen=True, slots=True)
class CoordinatorSettings:
    """`node_names`: who may join (empty: anybody who knows the secret). `lease_us`: see "lease".

    `alone`: nodes live in this process, so none that the store knows can have outlived it. (Nor do
    those live that may not join any more.)
    """

    secret: bytes
    node_names: tuple[str, ...] = ()
    lease_us: int = 2_000_000
    alone: bool = False


class Coordinator:
    """See the module. Listens on "cluster"."""

    def __init__(self, settings: CoordinatorSettings, entropy: Entropy) -> None:
        self._settings = settings
        self._entropy = entropy
        self._effects: list[Effect] = []
        self._now = 0
        self.catalog = Catalog()
        self._annals = Annals(self.catalog, self._counters)
        self._cluster = ""  # its name, for ever the same
        self._lives = Lives({})
        self._relocation = Relocation(self.catalog, self._report)
        self._next_queue = 1
        self._members: dict[str, Member] = {name: Member("") for name in settings.node_names}
        self._leases = Leases(self._members, settings.lease_us)
        self._links: dict[int, ClusterLink] = {}
        self._logins: dict[int, int] = {}  # links that have not logged in: until when they may
        self._member_of: dict[int, str] = {}
        self._welcoming = Welcoming(
            self.catalog,
            self._annals,
            self._members,
            lambda link, welcomed: self._links[link].send(welcomed),
            self._requested,
        )
        self._answers = Answers(
            self._annals,
            self._members,
            lambda link, answered: self._links[link].send(answered),
            self._answer_operator,
        )
        self._handing_over = HandingOver(
            self._relocation,
            self._send_to,
            self._change,
            self._answers.add_for_operator,
            lambda: self._now,
        )
        self._rebalancing = Rebalancing(
            self.catalog,
            self._members,
            self._handing_over,
            self._change,
            self._answers.add_for_operator,
            self._answer_operator,
            lambda: self._annals.trouble,
        )
        self._mirrors_moved_at = 0  # the revision at which a policy moved mirrors last
        self._desk = StatusDesk(
            self.catalog,
            self._members,
            lambda entry: why_waiting(
                self.catalog, entry, self._relocation.stores.damaged_on(entry)
            ),
            lambda: self._annals.trouble,
            self._answer_operator,
        )

    def step(self, event: Event, now: int) -> list[Effect]:
        """Take one event; see `rabbitry.machine`."""
        self._now = now
        match event:
            case BytesReceived():
                self._receive(event.link, event.data)
            case TimerFired():
                self._timer_fired(event.timer)
            case Committed():
                self._committed(event.commit)
            case CommitFailed():
                self._commit_failed(event)
            case LinkOpened():
                link = ClusterLink(False, self._settings.secret, "", "", self._entropy)
                self._links[event.link] = link
                self._logins[event.link] = now + LOGIN_TIMEOUT_US
            case LinkFinished():
                self._effects.append(CloseLink(event.link))
            case LinkClosed():
                self._link_closed(event.link)
            case Started():
                self._start(event)
            case Asked():
                self._asked(event)
        commit = self._annals.take_commit()
        if commit is not None:
            self._effects.append(commit)
        for number, link in self._links.items():
            data = link.take_bytes()
            if data:
                self._effects.append(SendBytes(number, data))
        effects, self._effects = self._effects, []
        return effects

    # --- life -------------------------------------------------------------------------------------

    def _start(self, event: Started) -> None:
        counters = load(self.catalog, event.stored)
        self._annals.revision, self._next_queue = counters.revision, counters.next_queue
        self._relocation.stores = Stores(counters.stores, counters.damaged)
        self._cluster = counters.cluster
        if not self._cluster:
            self._cluster = self._entropy.token_bytes(16).hex()
        self._lives = Lives(counters.lives)
        self._lives.begin(self._entropy.token_bytes(LIFE_BYTES).hex(), counters.revision)
        self._annals.note()
        self._mirrors_moved_at = self._annals.revision
        self.catalog.take_governed()
        for name, node in self.catalog.nodes.items():
            # They may all be alive: it is we who were away. Each has a lease's time to come back.
            member = self._members[name] = Member(node.incarnation)
            member.state, member.heard_at = "running", self._now
            member.joined_at = counters.joined_at.get(name, 0)
        for name, left in self.catalog.away.items():
            self._members[name] = Member(left.incarnation)
            self._members[name].state = "hung"
        for name in [*self.catalog.nodes, *self.catalog.away]:
            if self._settings.alone or self._is_foreign(name):
                self._leave(name, dead=True)
        self._set_tick()

    def _counters(self) -> Counters:
        joined_at = {name: self._members[name].joined_at for name in self.catalog.nodes}
        return Counters(
            self._annals.revision,
            self._next_queue,
            joined_at,
            self._cluster,
            self._relocation.stores.names,
            self._relocation.stores.damaged,
            self._lives.began,
        )

    def _set_tick(self) -> None:
        self._effects.append(SetTimer("tick", self._leases.look_at(self._now)))

    def _timer_fired(self, timer: str) -> None:
        if timer == "retry":
            self._annals.retry()
        else:
            self._tick()

    def _tick(self) -> None:
        for name in self._leases.overdue(self._now):
            self._report("warning", "node does not answer", node=name)
            self._leave(name, dead=False)
        for link, until in list(self._logins.items()):
            if self._now >= until:
                self._effects.append(CloseLink(link, abort=True))
        self._desk.tick(self._now)
        self._handing_over.tick()
        self._set_tick()

    def _report(self, level: str, what: str, **details: Any) -> None:
        self._effects.append(Report(level, what, details))

    # --- links ------------------------------------------------------------------------------------

    def _receive(self, number: int, data: bytes) -> None:
        link = self._links.get(number)
        if link is None:
            return
        for record in link.receive(data):
            self._take(number, link, record)
        if link.ready:
            self._logins.pop(number, None)
        if link.failure:
            self._report("warning", "link refused", reason=link.failure)
            self._effects.append(CloseLink(number, abort=True))
            self._link_closed(number)

    def _link_closed(self, number: int) -> None:
        self._links.pop(number, None)
        self._logins.pop(number, None)
        name = self._member_of.pop(number, None)
        if name is not None and self._members[name].link == number:
            self._members[name].link = None
            self._report("warning", "link to node lost", node=name)
            self._leave(name, dead=False)

    def _take(self, number: int, link: ClusterLink, record: AnyRecord) -> None:
        if isinstance(record, Join):
            self._join(number, link, record)
            return
        name = self._member_of.get(number)
        if name is None:
            return
        member = self._members[name]
        member.heard_at = self._now
        if isinstance(record, Followed):
            link.send(Heard())
            self._followed(name, member, record.revision)
            if member.low_on(record.alarms):
                self._report("info", "alarms of node", node=name, alarms=list(record.alarms))
        elif isinstance(record, Requested):
            self._welcoming.take(name, member, record)
        elif isinstance(record, Quiesced):
            self._handing_over.settled(name, record.number)
        elif isinstance(record, StatisticsTold):
            self._desk.told(name, record)

    # --- who is there -----------------------------------------------------------------------------

    def _join(self, number: int, link: ClusterLink, record: Join) -> None:
        name = record.name
        is_peer = (name, record.incarnation) == (link.peer_name, link.peer_incarnation)
        if self._is_foreign(name) or not is_peer:
            self._report("warning", "node is not of this cluster", node=name)
            self._effects.append(CloseLink(number, abort=True))
            return
        # One of another cluster tells that itself when it is welcomed.
        if record.cluster in ("", self._cluster) and not self._lives.has_told(record):
            refusal = refusal_of(name)
            self._report("error", "node turned away", node=name, reason=refusal)
            link.send(TurnedAway(refusal))
            return
        member = self._members.setdefault(name, Member(""))
        if member.link != number:
            self._cut(member)
        if member.incarnation != record.incarnation:
            if member.incarnation:
                self._leave(name, dead=True)
            self._change(self._relocation.store_told(record))
        joined = NodeJoined(name, record.incarnation, record.host, record.port)
        anew = self.catalog.nodes.get(name) != joined
        member.incarnation = record.incarnation
        member.state, member.link, member.heard_at = "running", number, self._now
        member.welcomed, member.followed = False, -1
        self._member_of[number] = name
        if anew:
            self._change(self._relocation.joined(joined))
            member.joined_at = self._annals.revision
        self._welcoming.joined(name)
        self._welcome()

    def _cut(self, member: Member) -> None:
        if member.link is not None:
            self._effects.append(CloseLink(member.link, abort=True))
            self._member_of.pop(member.link, None)
            self._links.pop(member.link, None)
        member.link, member.welcomed = None, False

    def _is_foreign(self, name: str) -> bool:
        return bool(self._settings.node_names) and name not in self._settings.node_names

    def _leave(self, name: str, dead: bool) -> None:
        """Take a node out of the cluster, and its queues from it."""
        member = self._members[name]
        self._cut(member)
        self._change(self._relocation.left(name, member.incarnation, dead))
        member.left(dead)
        if not self._settings.alone:
            self._report("warning", "node left", node=name, dead=dead)
        self._rebalancing.left(name)
        self._handing_over.left(name)
        self._answers.send()
        self._desk.left(name)

    # --- changes ----------------------------------------------------------------------------------

    def _change(self, changes: Iterable[Change]) -> int:
        """Apply changes as they are drawn, and let everybody hear when they are durable.

        Return how many there were.
        """
        count = 0
        for change in changes:
            self._annals.add(change)
            self._relocation.applied(change)
            count += 1
        for entry in self.catalog.take_governed():
            placed = place_by_policy(self.catalog, entry)
            if placed is not None:
                self._annals.add(placed)
                self._mirrors_moved_at = self._annals.revision + 1
        self._annals.close_batch()
        return count

    def _committed(self, commit: int) -> None:
        if self._annals.trouble:
            self._annals.trouble = ""
            self._report("warning", "the catalog can be written again")
        for batch in self._annals.committed(commit):
            changed = Changed(batch.revision, batch.changes)
            for name in self._members if batch.changes else ():
                self._send_to(name, changed)
        self._welcome()
        self._answers.send()

    def _commit_failed(self, event: CommitFailed) -> None:
        if not self._annals.trouble:
            what = "the catalog cannot be written: declarations and failovers wait"
            self._report("error", what, reason=event.reason)
        self._annals.failed(event.commit, event.reason)
        self._effects.append(SetTimer("retry", self._now + RETRY_US))

    def _welcome(self) -> None:
        self._welcoming.welcome(self._cluster, self._lives.current)

    def _followed(self, name: str, member: Member, revision: int) -> None:
        first = member.followed < 0 <= revision
        if revision > member.followed:
            member.followed = revision
            self._answers.send()
        if first:
            self._report("info", "node joined", node=name)

    # --- requests ---------------------------------------------------------------------------------

    def _requested(self, name: str, member: Member, record: Requested) -> None:
        request = record.request
        refusal: Refused | None = None
        judgement = judge(self.catalog, request, name, self._next_queue)
        if isinstance(request, AdmitMirror):
            mirror = self._members.get(request.node)
            since = max(mirror.joined_at if mirror is not None else 0, self._mirrors_moved_at)
            if mirror is None or since > request.revision:
                judgement = Refused(NOT_ALLOWED, "the mirror has begun anew since")
        if isinstance(judgement, Refused):
            refusal = judgement
        else:
            self._next_queue += 1
            self._change(judgement)
        self._answers.add(name, record.number, refusal)

    def inspect(self) -> dict[str, dict[str, Any]]:
        """Return who leads what in which epoch, for checkers: by queue name, plain data."""
        return who_leads(self.catalog, self._annals.durable)

    # --- the operator -----------------------------------------------------------------------------

    def _asked(self, event: Asked) -> None:
        """Answer a question, or do what a tuple says, and answer then."""
        number = event.number
        match event.question:
            case "status":
                asked = StatisticsAsked(number)
                told = [name for name in self._members if self._send_to(name, asked)]
                self._desk.ask(number, told, self._now)
            case "definitions":
                self._answer_operator(number, definitions_of(self.catalog))
            case ("change", requests):
                self._change_for_operator(number, requests)
            case ("hand over", name):
                self._handing_over.begin(number, name)
            case ("rebalance", absent):
                self._rebalancing.begin(number, absent)
            case "leads":
                self._answer_operator(number, self._rebalancing.leads())
            case ("node died", name):
                if name in self._members and self._members[name].incarnation:
                    self._leave(name, dead=True)
                self._answer_operator(number, None)
            case _:
                self._answer_operator(number, None)

    def _change_for_operator(self, number: int, requests: list[Request]) -> None:
        """Carry out all requests or none; answered with (index, refusal) or, when done, None."""
        judged = judge_all(self.catalog, requests, self._next_queue)
        if isinstance(judged[1], Refused):
            self._answer_operator(number, judged)
            return
        changes, self._next_queue = judged
        for what, details in lines_of(self.catalog, changes):
            self._report("info", what, **details)
        self._change(changes)
        self._answers.add_for_operator(number, None)

    def _send_to(self, name: str, record: Record) -> bool:
        """Send a record to a node that follows the catalog. False: there is none."""
        member = self._members.get(name)
        if member is None or member.link is None or not member.welcomed:
            return False
        self._links[member.link].send(record)
        return True

    def _answer_operator(self, number: int, answer: Any) -> None:
        self._effects.append(Answer(number, answer))
