"""Tests of the balancer as a machine: its listeners, questions, and events in whatever order."""

from __future__ import annotations

from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.balancer_conversation import Conversation, opened

from rabbitry.balancer.balancer import Balancer, PlanReload, Reload
from rabbitry.balancer.configuration.reader import parse
from rabbitry.machine import (
    Address,
    Answer,
    Asked,
    BytesReceived,
    CloseLink,
    Effect,
    LinkClosed,
    LinkFinished,
    LinkOpened,
    LinksMeasured,
    MeasureLinks,
    OpenLink,
    SendBytes,
    Started,
    WritingPaused,
    WritingResumed,
)

TEXT = """
defaults
    timeout connect 2s
    timeout client 9s
    timeout server 9s
    option redispatch
listen front
    bind 127.0.0.1:1,127.0.0.1:2
    bind 127.0.0.1:3
    maxconn 3
    server a 127.0.0.1:11 check inter 1s
    server b 127.0.0.1:12 check inter 1s
listen page
    bind 127.0.0.1:4
    mode http
    stats enable
"""


def test_listeners_are_named_by_section_and_place() -> None:
    listeners = Balancer(parse(TEXT, "f")).listeners
    assert [(name, bind.address) for name, bind in listeners] == [
        ("front", Address("127.0.0.1", 1)),
        ("front/2", Address("127.0.0.1", 2)),
        ("front/3", Address("127.0.0.1", 3)),
    ]


def test_all_listeners_of_a_section_lead_to_its_servers() -> None:
    talk = Conversation(TEXT)
    for link, listener in enumerate(("front", "front/2", "front/3"), start=1):
        assert any(isinstance(effect, OpenLink) for effect in talk.client(link, listener))
    assert talk.row("FRONTEND").scur == 3


def test_questions() -> None:
    balancer = Balancer(parse(TEXT, "f"))
    balancer.step(Started(), 5)
    (measure,) = balancer.step(Asked(7, "statistics"), 5)
    assert isinstance(measure, MeasureLinks) and measure.links == []
    assert balancer.step(LinksMeasured([], 0), 5) == [], "of some link's end"
    (answer,) = balancer.step(LinksMeasured([], measure.number), 5)
    assert isinstance(answer, Answer)
    assert (answer.number, answer.answer) == (7, balancer.statistics(5))
    assert balancer.step(Asked(8, "what?"), 5) == [Answer(8, None)]


def test_links_it_opens_are_negative_and_never_used_twice() -> None:
    talk = Conversation(TEXT)
    effects = talk.begun + [effect for link in (1, 2, 3) for effect in talk.client(link)]
    links = [effect.link for effect in effects if isinstance(effect, OpenLink)]
    assert len(links) == len(set(links)) == 4
    assert max(links) < 0


def test_unknown_links_are_ignored() -> None:
    talk = Conversation(TEXT)
    for event in (
        BytesReceived(99, b"x"),
        LinkFinished(99),
        LinkClosed(99, ""),
        WritingPaused(99),
        WritingResumed(99),
        LinkOpened(-99, "", Address("h", 1)),
    ):
        assert talk.take(event) == []


class _World:
    """Keeps the books of a driver: which links are open, which are to be closed."""

    def __init__(self) -> None:
        self.talk = Conversation(TEXT)
        self.open: dict[int, bool] = {}  # link -> connected
        self.clients = 0
        self.carry_out(self.talk.begun)

    def carry_out(self, effects: list[Effect]) -> None:
        sent = [effect.link for effect in effects if isinstance(effect, SendBytes)]
        assert len(sent) == len(set(sent))
        for effect in effects:
            if isinstance(effect, OpenLink):
                assert effect.link not in self.open
                self.open[effect.link] = False
            elif isinstance(effect, CloseLink) and effect.link in self.open:
                del self.open[effect.link]
                self.carry_out(self.talk.closed(effect.link))

    def act(self, action: str, pick: int) -> None:
        talk = self.talk
        if action == "client":
            self.clients += 1
            self.open[self.clients] = True
            self.carry_out(talk.client(self.clients))
        elif action == "time":
            self.carry_out(talk.pass_time((pick + 1) * 300_000))
        elif self.open:
            link = sorted(self.open)[pick % len(self.open)]
            if not self.open[link] and action != "break":
                self.open[link] = True
                self.carry_out(talk.connected(link))
            elif action == "break":
                del self.open[link]
                self.carry_out(talk.closed(link, "broken"))
            elif action == "finish":
                self.carry_out(talk.finished(link))
            elif action == "bytes" and link in talk.joined:
                talk.bytes(link, b"12345")
                talk.waiting[link] = pick % 2
            elif action == "bytes":
                self.carry_out(talk.bytes(link, b"x"))


ACTIONS = st.tuples(
    st.sampled_from(["client", "client", "connect", "bytes", "finish", "break", "time"]),
    st.integers(0, 9),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(ACTIONS, max_size=60))
@example([*[("client", 0)] * 4, ("finish", 7), ("finish", 4)])  # done before it was let in
def test_whatever_happens_every_session_ends_and_the_books_balance(
    actions: list[tuple[str, int]],
) -> None:
    world = _World()
    front = world.talk.row("FRONTEND")
    for action, pick in actions:
        world.act(action, pick)
        front = world.talk.row("FRONTEND")
        assert front.scur is not None
        assert front.scur <= 3
    for link in sorted(world.open, reverse=True):
        if link > 0 and world.open.pop(link, None):
            world.carry_out(world.talk.closed(link, "broken"))
    front = world.talk.row("FRONTEND")
    rows = world.talk.rows()
    assert all(row.scur == 0 for row in rows if row.pxname == "front")
    assert all(name.startswith("check") for name in world.talk.timers)
    servers = [row for row in rows if row.svname in "ab"]
    back = next(row for row in rows if row.svname == "BACKEND")
    assert back.lbtot == sum(row.lbtot or 0 for row in servers)
    assert front.bin == back.bin  # also of those that never had a server
    assert world.talk.balancer.relay.table.by_link == {}
    assert world.talk.balancer.relay.queueing.is_empty


def test_a_reload_keeps_sessions_and_checks_and_asks_for_listeners_first() -> None:
    talk = Conversation(TEXT)
    for link in opened(talk.begun):
        talk.connected(link)
    (session,) = opened(talk.client(1))
    talk.connected(session)
    text = TEXT.replace("server a 127.0.0.1:11", "server c 127.0.0.1:13").replace("1:3", "1:9")
    configuration = parse(text, "f")
    (plan,) = talk.take(Asked(1, PlanReload(configuration)))
    assert isinstance(plan, Answer)
    assert plan.answer.to_close == ("front/3",)
    effects = talk.take(Asked(2, Reload(configuration)))
    assert not any(isinstance(effect, CloseLink) for effect in effects)
    (check,) = opened(effects)  # of the server that came
    assert effects[-1] == Answer(2, None)
    talk.connected(check)
    names = [row.svname for row in talk.balancer.statistics(talk.now)]
    assert names == ["FRONTEND", "c", "b", "BACKEND", "FRONTEND", "BACKEND"]
    assert talk.row("FRONTEND").scur == 1
    talk.closed(1)
    talk.closed(session)
    assert talk.row("FRONTEND").scur == 0
