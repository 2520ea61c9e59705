"""Links between hosts: what machines are promised of them, whatever happens to hosts and paths."""

from __future__ import annotations

import pytest
from simulation.recorder import Answer, Recorder, always, on_start

from rabbitry import machine as m
from rabbitry.simulation.ends import LINGER_US, RESET
from rabbitry.simulation.network import REFUSED, TIMED_OUT
from rabbitry.simulation.pipe import HIGH_WATER_BYTES, LinkWeather
from rabbitry.simulation.world import SeedFailed, World

SERVER = m.Address("server", 1)
SECOND = 1_000_000
ROUGH = LinkWeather(cut_probability=0.5, spike_probability=0.05)


def sends_when_open(data: bytes, *more: m.Effect) -> Answer:
    """Return an answer that opens link -1 and, once it is open, sends `data` and does `more`."""

    def answer(event: m.Event, now: int) -> list[m.Effect]:
        if isinstance(event, m.Started):
            return [m.OpenLink(-1, SERVER)]
        if isinstance(event, m.LinkOpened):
            return [m.SendBytes(-1, data), *more]
        return []

    return answer


def make(seed: int, dialer: Answer, server: Answer | None = None) -> tuple[World, ...]:
    world = World(seed, weather=ROUGH)
    one = Recorder(dialer)
    other = Recorder(server) if server else Recorder()
    world.add_host("server", always(other), {1: "amqp"})
    world.add_host("dialer", always(one))
    world.start("server")
    world.start("dialer")
    return world, one, other  # type: ignore[return-value]


def assert_link_order(recorder: Recorder, link: int) -> None:
    """Opened first and once (or never), closed last and once (or not yet)."""
    mine = [event for _, event in recorder.heard if getattr(event, "link", None) == link]
    kinds = [type(event) for event in mine]
    assert kinds.count(m.LinkOpened) <= 1
    assert m.LinkOpened not in kinds[1:]
    assert kinds.count(m.LinkClosed) <= 1
    assert m.LinkClosed not in kinds[:-1]
    if m.LinkFinished in kinds:
        assert m.BytesReceived not in kinds[kinds.index(m.LinkFinished) :]


def test_both_sides_hear_of_a_link_and_bytes_keep_their_order() -> None:
    data = bytes(range(256)) * 40
    world, one, other = make(1, sends_when_open(data, m.FinishLink(-1)))
    world.run_until(SECOND)
    assert one.events(m.LinkOpened) == [m.LinkOpened(-1, "", SERVER)]
    opened = other.events(m.LinkOpened)[0]
    assert (opened.link, opened.listener, opened.peer.host) == (1, "amqp", "dialer")
    assert other.received(1) == data
    assert other.events(m.LinkFinished) == [m.LinkFinished(1)]
    assert not other.events(m.LinkClosed) and not one.events(m.LinkClosed)


def test_listeners_are_told_after_the_start() -> None:
    _, _, other = make(1, on_start())
    assert [type(event) for _, event in other.heard[:2]] == [m.Started, m.ListenerOpened]
    assert other.events(m.ListenerOpened) == [m.ListenerOpened("amqp", SERVER)]


@pytest.mark.parametrize("address", [m.Address("server", 2), m.Address("nobody", 1)])
def test_no_listener_means_refused(address: m.Address) -> None:
    world, one, _ = make(1, on_start(m.OpenLink(-1, address)))
    world.run_until(SECOND)
    assert one.events(m.LinkClosed, m.LinkOpened) == [m.LinkClosed(-1, REFUSED)]


def test_a_dark_or_cut_off_host_means_timed_out() -> None:
    for dark in (True, False):
        world, one, _ = make(1, on_start(m.SetTimer("x", 0), m.OpenLink(-1, SERVER)))
        if dark:
            world.crash("server", silent=True)
        else:
            world.network.cut("server", "dialer")
        world.run_until(10 * SECOND)
        assert one.events(m.LinkClosed, m.LinkOpened) == [m.LinkClosed(-1, TIMED_OUT)]


def test_an_orderly_close_is_a_finish_to_the_peer_and_closes_when_it_answers() -> None:
    def server(event: m.Event, now: int) -> list[m.Effect]:
        return [m.CloseLink(event.link)] if isinstance(event, m.LinkFinished) else []

    world, one, other = make(1, sends_when_open(b"bye", m.CloseLink(-1)), server)
    world.run_until(SECOND)
    assert other.received(1) == b"bye"
    assert other.events(m.LinkFinished, m.LinkClosed) == [m.LinkFinished(1), m.LinkClosed(1, "")]
    assert one.events(m.LinkClosed) == [m.LinkClosed(-1, "")]
    assert world.network.links() == []


def test_a_close_that_the_peer_ignores_ends_after_the_linger() -> None:
    world, one, other = make(1, sends_when_open(b"bye", m.CloseLink(-1)))
    world.run_until(LINGER_US - 1)
    assert not one.events(m.LinkClosed)
    world.run_until(LINGER_US + SECOND)
    assert one.events(m.LinkClosed) == [m.LinkClosed(-1, "")]
    assert other.events(m.LinkClosed) == [m.LinkClosed(1, RESET)]


def test_both_finished_is_closed() -> None:
    def server(event: m.Event, now: int) -> list[m.Effect]:
        return [m.FinishLink(event.link)] if isinstance(event, m.LinkFinished) else []

    world, one, other = make(1, sends_when_open(b"x", m.FinishLink(-1)), server)
    world.run_until(SECOND)
    assert one.events(m.LinkClosed) == [m.LinkClosed(-1, "")]
    assert other.events(m.LinkClosed) == [m.LinkClosed(1, "")]


def test_an_abort_resets_the_peer_after_a_prefix() -> None:
    lengths = set()
    for seed in range(30):
        effects = (m.CloseLink(-1, abort=True),)
        world, one, other = make(seed, sends_when_open(b"0123456789" * 10, *effects))
        world.run_until(SECOND)
        assert one.events(m.LinkClosed) == [m.LinkClosed(-1, "")]
        assert other.events(m.LinkClosed) == [m.LinkClosed(1, RESET)]
        assert (b"0123456789" * 10).startswith(other.received(1))
        lengths.add(len(other.received(1)))
    assert len(lengths) > 5


def test_a_crash_lets_a_prefix_through_and_the_peer_learns_of_it() -> None:
    ends = set()
    for seed in range(30):
        world, _, other = make(seed, sends_when_open(b"0123456789" * 10))
        world.run_until(700)
        world.crash("dialer")
        world.run_until(SECOND)
        if other.events(m.LinkOpened):
            end = other.events(m.LinkFinished, m.LinkClosed)
            assert len(end) == 1
            ends.add(type(end[0]))
            assert_link_order(other, 1)
    assert ends == {m.LinkFinished, m.LinkClosed}


def test_a_dark_host_is_silent_until_somebody_sends_to_it_after_its_return() -> None:
    def dialer(event: m.Event, now: int) -> list[m.Effect]:
        if isinstance(event, m.TimerFired):
            return [m.SendBytes(-1, b"are you there?")]
        again = m.SetTimer("again", 5 * SECOND)
        return [*sends_when_open(b"hello")(event, now), again]

    world, one, _ = make(1, dialer)
    world.run_until(SECOND)
    world.crash("server", silent=True)
    world.run_until(6 * SECOND)
    assert not one.events(m.LinkClosed, m.LinkFinished)
    world.start("server")
    world.run_until(7 * SECOND)
    assert one.events(m.LinkClosed) == [m.LinkClosed(-1, RESET)]


def test_a_reset_breaks_both_ends_once() -> None:
    world, one, other = make(1, sends_when_open(b"x" * 1000))
    world.run_until(SECOND)
    world.network.reset(world.network.links()[0])
    world.run_until(2 * SECOND)
    assert one.events(m.LinkClosed) == [m.LinkClosed(-1, RESET)]
    assert other.events(m.LinkClosed) == [m.LinkClosed(1, RESET)]
    assert world.network.links() == []


def sends_later(data: bytes, at: int, *when_open: m.Effect) -> Answer:
    """Return an answer that opens link -1, does `when_open` then, and sends `data` at `at`."""

    def answer(event: m.Event, now: int) -> list[m.Effect]:
        if isinstance(event, m.Started):
            return [m.OpenLink(-1, SERVER)]
        if isinstance(event, m.LinkOpened):
            return [m.SetTimer("send", at), *when_open]
        return [m.SendBytes(-1, data)] if isinstance(event, m.TimerFired) else []

    return answer


def test_a_one_way_cut_holds_one_way_back_until_healed() -> None:
    def server(event: m.Event, now: int) -> list[m.Effect]:
        return [m.SendBytes(1, event.data)] if isinstance(event, m.BytesReceived) else []

    world, one, other = make(1, sends_later(b"question", SECOND), server)
    world.run_until(SECOND - 1)
    world.network.cut("server", "dialer")
    world.run_until(2 * SECOND)
    assert other.received(1) == b"question"
    assert one.received(-1) == b""
    world.network.heal("server", "dialer")
    world.run_until(3 * SECOND)
    assert one.received(-1) == b"question"


def test_a_link_that_reads_nothing_hears_of_a_reset_when_it_writes() -> None:
    world, one, _ = make(1, sends_later(b"x", 2 * SECOND, m.PauseReading(-1)))
    world.run_until(SECOND)
    world.network.reset(world.network.links()[0])
    world.run_until(2 * SECOND - 1)
    assert not one.events(m.LinkClosed)
    world.run_until(3 * SECOND)
    assert one.events(m.LinkClosed) == [m.LinkClosed(-1, RESET)]


def test_bytes_that_a_dead_process_had_not_read_are_answered_with_a_reset() -> None:
    def server(event: m.Event, now: int) -> list[m.Effect]:
        return [m.PauseReading(1)] if isinstance(event, m.LinkOpened) else []

    for seed in range(10):  # a crash ends in a finish or in a break, as chance has it
        world, one, _ = make(seed, sends_when_open(b"unread"), server)
        world.run_until(SECOND)
        world.crash("server")
        world.run_until(2 * SECOND)
        assert one.events(m.LinkClosed) == [m.LinkClosed(-1, RESET)]


def test_a_link_that_was_aborted_hears_nothing_but_its_end() -> None:
    data = b"x" * (HIGH_WATER_BYTES + 1)
    world, one, _ = make(1, sends_when_open(data, m.CloseLink(-1, abort=True)))
    world.run_until(SECOND)
    assert one.events(m.WritingPaused, m.WritingResumed, m.LinkClosed) == [m.LinkClosed(-1, "")]


def test_paused_reading_pauses_the_writer_and_resuming_resumes_it() -> None:
    def server(event: m.Event, now: int) -> list[m.Effect]:
        if isinstance(event, m.LinkOpened):
            return [m.PauseReading(1), m.SetTimer("go", 2 * SECOND)]
        return [m.ResumeReading(1)] if isinstance(event, m.TimerFired) else []

    data = b"x" * (HIGH_WATER_BYTES + 1)
    world, one, other = make(1, sends_when_open(data), server)
    world.run_until(2 * SECOND - 1)
    assert other.received(1) == b""
    assert one.events(m.WritingPaused, m.WritingResumed) == [m.WritingPaused(-1)]
    world.run_until(3 * SECOND)
    assert other.received(1) == data
    assert one.events(m.WritingPaused, m.WritingResumed)[1:] == [m.WritingResumed(-1)]


def test_a_frozen_host_fills_its_buffers_and_reads_them_after_the_thaw() -> None:
    data = b"x" * (HIGH_WATER_BYTES + 1)
    world, one, other = make(1, sends_later(data, SECOND))
    world.run_until(SECOND - 1)
    world.freeze("server")
    world.run_until(2 * SECOND)
    assert one.events(m.WritingPaused, m.WritingResumed) == [m.WritingPaused(-1)]
    world.thaw("server")
    world.run_until(3 * SECOND)
    assert other.received(1) == data
    assert one.events(m.WritingPaused, m.WritingResumed)[1:] == [m.WritingResumed(-1)]


def test_writing_to_an_end_that_is_gone_is_answered_with_a_reset() -> None:
    def dialer(event: m.Event, now: int) -> list[m.Effect]:
        if isinstance(event, m.TimerFired):
            return [m.SendBytes(-1, b"more")]
        finished = isinstance(event, m.LinkFinished)
        extra = [m.SetTimer("again", 10 * SECOND)] if finished else []
        return [*sends_when_open(b"hello")(event, now), *extra]

    world, one, _ = make(1, dialer)
    world.run_until(SECOND)
    for seed in range(20):  # until the crash ends in a finish
        world, one, _ = make(seed, dialer)
        world.run_until(SECOND)
        world.crash("server")
        world.run_until(9 * SECOND)
        if one.events(m.LinkFinished):
            break
    assert not one.events(m.LinkClosed)
    world.run_until(11 * SECOND)
    assert one.events(m.LinkClosed) == [m.LinkClosed(-1, RESET)]


@pytest.mark.parametrize(
    ("effects", "reason"),
    [
        ([m.OpenLink(1, SERVER)], "not a new negative number"),
        ([m.OpenLink(-1, SERVER), m.OpenLink(-1, SERVER)], "not a new negative number"),
        ([m.OpenLink(-1, SERVER), m.SendBytes(-1, b"x")], "has not opened yet"),
        ([m.SendBytes(5, b"x")], "never was"),
        ([m.Commit(1, []), m.Commit(2, [])], "two Commits"),
    ],
)
def test_breaches_of_the_contract_fail_the_run(effects: list[m.Effect], reason: str) -> None:
    with pytest.raises(SeedFailed, match=reason):
        make(1, on_start(*effects))


@pytest.mark.parametrize(
    ("effects", "reason"),
    [
        ([m.SendBytes(-1, b"x")], "two SendBytes to link -1 in one step"),
        ([m.FinishLink(-1), m.SendBytes(-2, b"x")], "link -2, which never was"),
    ],
)
def test_breaches_over_an_open_link_fail_the_run(effects: list[m.Effect], reason: str) -> None:
    world, *_ = make(1, sends_when_open(b"first", *effects))
    with pytest.raises(SeedFailed, match=reason):
        world.run_until(SECOND)


def test_sending_after_a_finish_fails_the_run() -> None:
    def dialer(event: m.Event, now: int) -> list[m.Effect]:
        if isinstance(event, m.TimerFired):
            return [m.SendBytes(-1, b"more")]
        opened = isinstance(event, m.LinkOpened)
        later = [m.SetTimer("later", now + 5)] if opened else []
        return [*sends_when_open(b"x", m.FinishLink(-1))(event, now), *later]

    world, *_ = make(1, dialer)
    with pytest.raises(SeedFailed, match="was finished by it"):
        world.run_until(SECOND)


@pytest.mark.parametrize("number", range(25))
def test_links_keep_their_promises_under_random_treatment(number: int) -> None:
    """Two hosts talk over several links while everything is done to them."""
    sent: dict[int, bytes] = {}

    def dialer(event: m.Event, now: int) -> list[m.Effect]:
        if isinstance(event, m.Started):
            return [m.OpenLink(-n, SERVER) for n in range(1, 6)] + [m.SetTimer("t", now + 9_000)]
        if isinstance(event, m.TimerFired):
            effects: list[m.Effect] = [m.SetTimer("t", now + 9_000)]
            for n in range(1, 6):
                if -n in sent:
                    data = b"%d/%d " % (n, now)
                    sent[-n] += data
                    effects.append(m.SendBytes(-n, data))
            return effects
        if isinstance(event, m.LinkOpened):
            sent[event.link] = b""
        if isinstance(event, m.LinkClosed | m.LinkFinished):
            return [m.CloseLink(event.link)]
        return []

    world, one, other = make(number, dialer)
    random = world.schedule.random("test")
    for _ in range(30):
        world.run_until(world.now + random.randint(0, 40_000))
        links = world.network.links()
        act = random.randrange(6)
        if act == 0 and links and random.random() < 0.3:
            world.network.reset(random.choice(links))
        elif act == 1 and links:
            world.network.stall(random.choice(links), random.randint(0, 100_000))
        elif act == 2:
            world.freeze(random.choice(["dialer", "server"]))
        elif act == 3:
            world.thaw("dialer")
            world.thaw("server")
        elif act == 4:
            world.network.cut(*random.choice([("dialer", "server"), ("server", "dialer")]))
        else:
            world.network.heal_all()
    world.thaw("dialer")
    world.thaw("server")
    world.network.heal_all()
    world.run_until(world.now + 5 * SECOND)
    for link in range(1, 6):
        assert_link_order(one, -link)
        assert_link_order(other, link)
    received = sorted(other.received(link) for link in range(1, 6))
    for got in received:
        assert any(everything.startswith(got) for everything in sent.values())
    assert any(received)
