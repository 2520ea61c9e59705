"""The world: equal seeds make equal runs, and crash, freeze, restart do what they say."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from simulation.recorder import Recorder, always, on_start

from rabbitry import machine as m
from rabbitry.simulation.world import SeedFailed, World

SERVER = m.Address("server", 1)
SECOND = 1_000_000


class Echo:
    """Sends back what comes, commits it, and tells its entropy: a bit of everything."""

    def __init__(self, entropy: m.Entropy) -> None:
        self.entropy = entropy
        self.commits_count = 0

    def step(self, event: m.Event, now: int) -> list[m.Effect]:
        if isinstance(event, m.BytesReceived):
            self.commits_count += 1
            return [
                m.Commit(self.commits_count, [(event.data[:8], event.data)]),
                m.SendBytes(event.link, event.data),
            ]
        if isinstance(event, m.LinkFinished):
            return [m.CloseLink(event.link)]
        if isinstance(event, m.Committed):
            return [m.Report("info", "kept", {"token": self.entropy.token_bytes(4)})]
        return []


class Talker:
    """Opens a link, says something every ten milliseconds, opens another when it is lost."""

    def __init__(self, entropy: m.Entropy) -> None:
        self.entropy = entropy
        self.link = 0
        self.open = False

    def step(self, event: m.Event, now: int) -> list[m.Effect]:
        if isinstance(event, m.LinkOpened):
            self.open = True
        elif isinstance(event, m.LinkClosed | m.LinkFinished):
            self.open = False
            if isinstance(event, m.LinkFinished):
                return [m.CloseLink(event.link)]
        elif isinstance(event, m.TimerFired) and self.open:
            data = self.entropy.token_bytes(20)
            return [m.SendBytes(self.link, data), m.SetTimer("talk", now + 10_000)]
        if isinstance(event, m.Started | m.LinkClosed):
            self.link -= 1
            return [m.OpenLink(self.link, SERVER), m.SetTimer("talk", now + 10_000)]
        return [m.SetTimer("talk", now + 10_000)] if isinstance(event, m.TimerFired) else []


def rough_run(seed: int) -> World:
    """Run echo and talkers through some faults."""
    world = World(seed)
    world.add_host("server", lambda _, entropy: Echo(entropy), {1: "echo"})
    for name in ("anna", "bert"):
        world.add_host(name, lambda _, entropy: Talker(entropy))
    for name in list(world.hosts):
        world.start(name)
    random = world.schedule.random("test")
    for _ in range(40):
        world.run_until(world.now + random.randint(0, 60_000))
        name = random.choice(["server", "anna", "bert"])
        act = random.choice(["crash", "freeze", "thaw", "start", "start"])
        getattr(world, act)(name)
    return world


def test_the_same_seed_gives_the_same_trace_and_another_another() -> None:
    assert rough_run(5).trace.hash == rough_run(5).trace.hash
    assert rough_run(5).trace.hash != rough_run(6).trace.hash


def test_the_trace_is_the_same_in_a_process_with_another_hash_seed() -> None:
    code = "from simulation.test_world import rough_run; print(rough_run(5).trace.hash)"
    hashes = set()
    for hash_seed in ("1", "2"):
        tests = str(Path(__file__).parent.parent)
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": tests}
        result = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True
        )
        assert result.returncode == 0, result.stderr
        hashes.add(result.stdout.strip())
    assert hashes == {rough_run(5).trace.hash}


def test_timers_fire_once_in_time_and_are_replaced_and_cancelled_by_name() -> None:
    recorder = Recorder(
        on_start(
            *[m.SetTimer("a", 100), m.SetTimer("b", 200), m.SetTimer("c", 300)],
            *[m.SetTimer("a", 500), m.CancelTimer("b"), m.CancelTimer("never set")],
        )
    )
    world = World(1)
    world.add_host("host", always(recorder))
    world.start("host")
    world.run_until(SECOND)
    fired = [(at, e.timer) for at, e in recorder.heard if isinstance(e, m.TimerFired)]
    assert fired == [(300, "c"), (500, "a")]


def test_a_crash_forgets_memory_and_timers_but_not_the_store() -> None:
    made: list[Recorder] = []

    def factory(incarnation: int, entropy: m.Entropy) -> m.Machine:
        effects = [m.SetTimer(f"t{incarnation}", 5 * SECOND), m.Commit(1, [(b"key", b"value")])]
        made.append(Recorder(on_start(*effects)))
        return made[-1]

    world = World(1)
    world.add_host("host", factory)
    world.start("host")
    world.run_until(SECOND)
    world.crash("host")
    assert not world.hosts["host"].up
    world.run_until(2 * SECOND)
    world.start("host")
    world.start("host")  # runs already: nothing happens
    world.run_until(10 * SECOND)
    assert len(made) == 2 and world.hosts["host"].incarnation == 2
    assert made[0].events(m.Started) == [m.Started([])]
    assert made[1].events(m.Started) == [m.Started([(b"key", b"value")])]
    assert not made[0].events(m.TimerFired)
    assert made[1].events(m.TimerFired) == [m.TimerFired("t2")]


def test_each_incarnation_has_an_entropy_of_its_own() -> None:
    tokens: list[bytes] = []

    def factory(incarnation: int, entropy: m.Entropy) -> m.Machine:
        tokens.append(entropy.token_bytes(8))
        return Recorder()

    for _ in range(2):
        world = World(3)
        world.add_host("host", factory)
        world.start("host")
        world.crash("host")
        world.start("host")
    assert tokens[0] == tokens[2] != tokens[1] == tokens[3]


def test_a_frozen_host_hears_all_later_in_order() -> None:
    def answer(event: m.Event, now: int) -> list[m.Effect]:
        if isinstance(event, m.Started):
            return [m.SetTimer("a", 100), m.SetTimer("b", 200), m.Commit(1, [])]
        if event == m.TimerFired("a"):
            return [m.CancelTimer("b")]
        return []

    recorder = Recorder(answer)
    talker = Recorder(on_start(m.OpenLink(-1, SERVER)))
    world = World(1)
    world.add_host("server", always(recorder), {1: "amqp"})
    world.add_host("talker", always(talker))
    world.start("server")
    world.freeze("server")
    world.start("talker")
    world.run_until(SECOND)
    assert talker.events(m.LinkOpened), "the kernel of a frozen host accepts"
    assert len(recorder.heard) == 2  # Started, ListenerOpened
    world.thaw("server")
    heard = recorder.heard[2:]
    assert {at for at, _ in heard} == {SECOND}
    kinds = [type(event) for _, event in heard]
    assert sorted(kind.__name__ for kind in kinds) == ["Committed", "LinkOpened", "TimerFired"]
    assert recorder.events(m.TimerFired) == [m.TimerFired("a")]


def test_stop_ends_the_process_and_tells_the_observers() -> None:
    world = World(1)
    effects = [m.SetTimer("never", 10), m.Stop("done"), m.Report("info", "not carried out")]
    recorder = Recorder(on_start(*effects))
    stopped: list[str] = []
    reports: list[str] = []
    world.stop_observers.append(stopped.append)
    world.report_observers.append(lambda now, host, report: reports.append(report.what))
    world.add_host("host", always(recorder))
    world.start("host")
    world.run_until(SECOND)
    assert stopped == ["host"] and reports == []
    assert world.hosts["host"].stopped_because == "done"
    assert len(recorder.heard) == 1


def test_an_exception_fails_the_seed_and_shows_the_last_steps() -> None:
    def answer(event: m.Event, now: int) -> list[m.Effect]:
        if isinstance(event, m.TimerFired):
            raise KeyError("queue")
        return [m.SetTimer("fatal", 500)]

    world = World(42)
    world.add_host("rabbit", always(Recorder(answer)))
    world.start("rabbit")
    with pytest.raises(SeedFailed) as failed:
        world.run_until(SECOND)
    text = str(failed.value)
    assert "seed 42 failed at 500 us: rabbit: KeyError out of a step" in text
    assert "500 rabbit < TimerFired fatal" in text


def test_an_endless_run_fails_with_its_seed() -> None:
    world = World(7, events_max=1000)

    def answer(event: m.Event, now: int) -> list[m.Effect]:
        return [m.SetTimer("again", now)]

    world.add_host("rabbit", always(Recorder(answer)))
    world.start("rabbit")
    with pytest.raises(SeedFailed, match="seed 7 failed at 0 us: more than 1000 events"):
        world.run_until(1)


def test_a_question_reaches_the_machine() -> None:
    recorder = Recorder()
    world = World(1)
    world.add_host("host", always(recorder))
    world.start("host")
    world.ask("host", 3, "status")
    assert recorder.events(m.Asked) == [m.Asked(3, "status")]


def test_a_failed_commit_takes_what_a_host_hands_over_before_it_hears() -> None:
    def answer(event: m.Event, now: int) -> list[m.Effect]:
        if isinstance(event, m.Started):
            return [m.SetTimer("again", 10), m.Commit(1, [(b"a", b"")])]
        if isinstance(event, m.TimerFired):
            return [m.Commit(2, [(b"b", b"")])]  # it has not heard: this is dropped
        return [m.Commit(3, [(b"c", b"")])] if isinstance(event, m.CommitFailed) else []

    recorder = Recorder(answer)
    world = World(1)
    world.add_host("host", always(recorder))
    world.hosts["host"].store.trouble.failures = 1
    world.start("host")
    world.freeze("host")
    world.schedule.at(50_000, world.hosts["host"].store.trouble.heal)
    world.run_until(SECOND)
    world.thaw("host")
    world.run_until(2 * SECOND)
    assert recorder.events(m.TimerFired, m.CommitFailed, m.Committed) == [
        m.TimerFired("again"),
        m.CommitFailed(1, "input/output error"),
        m.Committed(3),
    ]
    assert world.hosts["host"].store.contents() == {b"c": b""}


def test_a_value_that_was_read_is_gone_when_the_step_is_done() -> None:
    key = m.BULK + b"k"

    def reply(event: m.Event, now: int) -> list[m.Effect]:
        match event:
            case m.Started():
                return [m.Commit(1, [(key, b"value")])]
            case m.Committed():
                return [m.Load(1, [key])]
            case m.Loaded(_, [value]):
                assert value == b"value"
        return []

    world = World(1)
    recorder = Recorder(reply)
    world.add_host("one", always(recorder))
    world.start("one")
    world.run_until(SECOND)
    [loaded] = recorder.events(m.Loaded)
    with pytest.raises(ValueError, match="released"):
        bytes(loaded.values[0])


def test_the_observers_are_told_when_a_process_starts_runs_and_ends() -> None:
    seen: list[tuple[str, str, bool, bool]] = []
    recorder = Recorder()
    world = World(1)
    world.add_host("host", always(recorder))
    host = world.hosts["host"]
    world.life_observers.append(
        lambda name, what: seen.append((name, what, host.up, bool(recorder.heard)))
    )
    world.start("host")
    world.crash("host")
    assert seen == [
        ("host", "starting", False, False),
        ("host", "running", True, True),
        ("host", "ending", True, True),
    ]
