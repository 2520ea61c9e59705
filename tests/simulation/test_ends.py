"""Joined ends: the driver passes on what comes, at the pace of the slower, and tells the ends."""

from __future__ import annotations

from itertools import count

import pytest
from simulation.recorder import Recorder, always

from rabbitry import machine as m
from rabbitry.simulation.ends import RESET
from rabbitry.simulation.pipe import HIGH_WATER_BYTES, LinkWeather
from rabbitry.simulation.world import SeedFailed, World

FRONT = m.Address("relay", 1)
SERVER = m.Address("server", 1)
SECOND = 1_000_000
DATA = bytes(range(256)) * 40


class Relaying(Recorder):
    """Joins each client's link with a new one to the server; the ends of one end the other."""

    def __init__(self) -> None:
        super().__init__(self.relay)
        self.other: dict[int, int] = {}
        self._numbers = count(-1, -1)

    def relay(self, event: m.Event, now: int) -> list[m.Effect]:
        match event:
            case m.LinkOpened(link, "front"):
                server = next(self._numbers)
                self.other |= {link: server, server: link}
                return [m.PauseReading(link), m.OpenLink(server, SERVER, beside=link)]
            case m.LinkOpened(link):
                return [m.JoinLinks(self.other[link], link)]
            case m.LinkFinished(link):
                return [m.FinishLink(self.other[link])]
            case m.LinkClosed(link):
                return [m.CloseLink(self.other[link])]
        return []


def make(seed: int, client: Recorder, server: Recorder) -> tuple[World, Relaying]:
    world = World(seed, weather=LinkWeather(cut_probability=0.5, spike_probability=0.05))
    relay = Relaying()
    world.add_host("server", always(server), {1: "amqp"})
    world.add_host("relay", always(relay), {1: "front"})
    world.add_host("client", always(client))
    for name in ("server", "relay", "client"):
        world.start(name)
    return world, relay


def sending(data: bytes, *more: m.Effect) -> Recorder:
    def answer(event: m.Event, now: int) -> list[m.Effect]:
        if isinstance(event, m.Started):
            return [m.OpenLink(-1, FRONT)]
        if isinstance(event, m.LinkOpened):
            return [m.SendBytes(-1, data), *more]
        return []

    return Recorder(answer)


@pytest.mark.parametrize("number", range(5))
def test_bytes_and_half_closes_pass_and_both_ends_are_measured_before_each_end(number: int) -> None:
    def echo(event: m.Event, now: int) -> list[m.Effect]:
        if isinstance(event, m.BytesReceived):
            return [m.SendBytes(event.link, event.data)]
        return [m.FinishLink(event.link)] if isinstance(event, m.LinkFinished) else []

    client, server = sending(DATA, m.FinishLink(-1)), Recorder(echo)
    world, relay = make(number, client, server)
    world.run_until(SECOND)
    assert server.received(1) == DATA and client.received(-1) == DATA
    assert client.events(m.LinkFinished) and client.events(m.LinkClosed) == [m.LinkClosed(-1, "")]
    assert not relay.events(m.BytesReceived, m.WritingPaused, m.WritingResumed)
    kinds = [type(event) for _, event in relay.heard]
    ends = [at for at, kind in enumerate(kinds) if kind in (m.LinkFinished, m.LinkClosed)]
    assert len(ends) == 4
    for at in ends:
        measured = relay.heard[at - 1][1]
        assert isinstance(measured, m.LinksMeasured) and len(measured.measures) == 2
    last = relay.events(m.LinksMeasured)[-1]
    assert isinstance(last, m.LinksMeasured)
    assert {each.link: each.bytes_received for each in last.measures} == {1: 10240, -1: 10240}


def test_the_slower_sets_the_pace_and_measures_show_what_waits() -> None:
    def wants_none(event: m.Event, now: int) -> list[m.Effect]:
        return [m.PauseReading(event.link)] if isinstance(event, m.LinkOpened) else []

    client, server = sending(DATA * 100), Recorder(wants_none)
    world, relay = make(3, client, server)
    world.run_until(SECOND)
    assert client.events(m.WritingPaused), "the client is held back"
    relay.answer = lambda event, now: [m.MeasureLinks()] if isinstance(event, m.Asked) else []
    world.ask("relay", 1, "measures")
    world.run_until(2 * SECOND)
    (measured,) = relay.events(m.LinksMeasured)
    assert isinstance(measured, m.LinksMeasured)
    (first, second) = measured.measures
    assert (first.link, second.link) == (1, -1)
    assert HIGH_WATER_BYTES <= first.bytes_received <= len(DATA) * 100
    assert 0 < second.bytes_waiting <= first.bytes_received
    assert 0 < second.active_at < SECOND and second.bytes_received == 0
    relay.answer = lambda event, now: [m.MeasureLinks([-1, 99])] if event == m.Asked(2, 2) else []
    world.ask("relay", 2, 2)
    server.answer = lambda event, now: [m.ResumeReading(1)] if isinstance(event, m.Asked) else []
    world.ask("server", 1, "read")
    world.run_until(4 * SECOND)
    assert [each.link for each in relay.events(m.LinksMeasured)[1].measures] == [-1]  # type: ignore[union-attr]
    assert server.received(1) == DATA * 100


@pytest.mark.parametrize("number", range(10))
def test_what_came_before_a_break_is_still_passed_on(number: int) -> None:
    client, server = sending(DATA, m.FinishLink(-1)), Recorder()
    world, relay = make(number, client, server)
    world.run_until(300 + number * 60)
    links = [n for n in world.network.links() if world.network.ends_of(n)[0] == "client"]
    for each in links:
        world.network.reset(each)
    world.run_until(10 * SECOND)
    if relay.other and links:
        last = relay.events(m.LinksMeasured)[-1]
        assert isinstance(last, m.LinksMeasured)
        got = {each.link: each.bytes_received for each in last.measures}[1]
        assert server.received(1) == DATA[:got]
        assert relay.events(m.LinkClosed)[0] == m.LinkClosed(1, RESET)
        assert len(relay.events(m.LinkClosed)) == 2


@pytest.mark.parametrize(
    ("when_opened", "breach"), [("front", "not open yet"), ("", "joined already")]
)
def test_a_link_is_joined_once_and_not_before_it_is_open(when_opened: str, breach: str) -> None:
    world, relay = make(1, sending(b"x"), Recorder())

    def too_often(event: m.Event, now: int) -> list[m.Effect]:
        effects = relay.relay(event, now)
        if isinstance(event, m.LinkOpened) and event.listener == when_opened:
            effects.append(m.JoinLinks(-1, 1))
        return effects

    relay.answer = too_often
    with pytest.raises(SeedFailed, match=breach):
        world.run_until(SECOND)


def test_a_paused_listener_lets_peers_wait() -> None:
    server = Recorder(
        lambda event, now: [m.PauseListening("amqp")] if isinstance(event, m.Started) else []
    )
    world, relay = make(2, sending(b"hello"), server)
    world.run_until(SECOND)
    assert not server.events(m.LinkOpened) and not relay.events(m.LinkClosed)
    server.answer = lambda event, now: (
        [m.ResumeListening("amqp")] if isinstance(event, m.Asked) else []
    )
    world.ask("server", 1, "go on")
    world.run_until(10 * SECOND)
    assert server.received(1) == b"hello"


def test_a_listener_that_is_paused_may_refuse_peers() -> None:
    server = Recorder(
        lambda event, now: (
            [m.PauseListening("amqp", refuse=True)] if isinstance(event, m.Started) else []
        )
    )
    world, relay = make(2, sending(b"hello"), server)
    world.run_until(SECOND)
    assert not server.events(m.LinkOpened)
    assert relay.events(m.LinkClosed)
