"""Faults: drawn from the seed, carried out until healed, never more than may be lost."""

from __future__ import annotations

from random import Random

from simulation.recorder import Recorder

from rabbitry import machine as m
from rabbitry.simulation.faults import (
    DAMAGE,
    DURABLE_KINDS,
    HINDERED_US_MAX,
    KINDS,
    REBALANCE,
    RESTART,
    FaultInjector,
    FaultPlan,
    draw_durable_plan,
    draw_plan,
    draw_weather,
)
from rabbitry.simulation.store import StoreTrouble
from rabbitry.simulation.world import World

SECOND = 1_000_000
HOSTS = ("a", "b", "c")
COORDINATOR = "arbiter"


class Dialer(Recorder):
    """Keeps a link to host a open."""

    links_count = 0

    def step(self, event: m.Event, now: int) -> list[m.Effect]:
        super().step(event, now)
        if isinstance(event, m.LinkFinished):
            return [m.CloseLink(event.link, abort=True)]
        if isinstance(event, m.Started | m.TimerFired):
            self.links_count += 1
            return [m.OpenLink(-self.links_count, m.Address("a", 1))]
        return [m.SetTimer("again", now + 1_000)] if isinstance(event, m.LinkClosed) else []


class Keeper(Recorder):
    """Commits something every millisecond."""

    def step(self, event: m.Event, now: int) -> list[m.Effect]:
        super().step(event, now)
        if isinstance(event, m.TimerFired | m.Started):
            again = m.SetTimer("again", now + 1_000)
            return [m.Commit(now, [(b"%d" % now, b""), (m.BULK + b"k", b"v")]), again]
        return self.answer(event, now)


def plan_of(*kinds: str, down_max: int = 1, late_probability: float = 0.0) -> FaultPlan:
    return FaultPlan(
        mean_interval_us=dict.fromkeys(kinds, 20_000),
        begin_at=SECOND,
        heal_at=5 * SECOND,
        dark_probability=0.2,
        restart_us_min=1_000,
        restart_us_max=50_000,
        freeze_us_max=50_000,
        stall_us_max=50_000,
        partition_us_max=50_000,
        down_max=down_max,
        late_probability=late_probability,
        slow_commit_us_max=500_000,
        trouble_us_max=20_000,
    )


def injector(plan: FaultPlan, may_lose: bool = True) -> FaultInjector:
    world = World(1, keep_trace=True)
    for name in HOSTS:
        world.add_host(name, lambda *_: Keeper(), {1: "amqp"})
    world.add_host("dialer", lambda *_: Dialer())
    world.add_host(COORDINATOR, lambda *_: Recorder())
    for name in list(world.hosts):
        world.start(name)
    faults = FaultInjector(world, plan, HOSTS, HOSTS, lambda name: may_lose, COORDINATOR)
    faults.begin()
    return faults


def notes(faults: FaultInjector) -> list[tuple[int, str]]:
    lines = [line.split(" ", 3) for line in faults.world.trace.text().splitlines()]
    return [(int(at), f"{host} {text}") for at, host, kind, text in lines if kind == "*"]


def test_every_kind_strikes_between_begin_and_heal_only() -> None:
    for kind in (*DURABLE_KINDS, REBALANCE, DAMAGE):
        faults = injector(plan_of(kind))
        faults.world.run_until(SECOND)
        assert faults.counts == {}, kind
        faults.world.run_until(5 * SECOND)
        assert list(faults.counts) == [kind] and faults.counts[kind] > (
            0 if kind == RESTART else 10
        )
        struck = dict(faults.counts)
        faults.world.run_until(10 * SECOND)
        assert faults.counts == struck


def test_after_the_healing_all_hosts_run_and_reach_each_other() -> None:
    faults = injector(plan_of(*DURABLE_KINDS, down_max=2, late_probability=0.5))
    faults.world.run_until(5 * SECOND)
    assert faults.healed
    world = faults.world
    assert all(world.hosts[name].up and not world.hosts[name].frozen for name in HOSTS)
    assert world.hosts[COORDINATOR].up
    assert not any(world.network.is_cut(one, other) for one in HOSTS for other in HOSTS)
    assert all(world.hosts[name].store.trouble == StoreTrouble() for name in (*HOSTS, COORDINATOR))


def test_no_more_hosts_are_away_than_allowed() -> None:
    for down_max in (1, 2):
        faults = injector(plan_of("crash", "freeze", down_max=down_max))
        away: dict[str, None] = {}
        most = 0
        faults.world.run_until(5 * SECOND - 1)
        for _, note in notes(faults):
            host, what = note.split(" ", 1)
            if what.startswith(("crashes", "goes dark", "freezes")):
                away[host] = None
            elif what.startswith(("starts", "thaws")):
                away.pop(host, None)
            most = max(most, len(away))
        assert most == down_max


def test_what_may_not_be_lost_is_not_crashed() -> None:
    faults = injector(plan_of("crash"), may_lose=False)
    faults.world.run_until(6 * SECOND)
    assert faults.counts == {}


def test_a_host_that_stopped_by_itself_is_started_again() -> None:
    faults = injector(plan_of("reset"))
    world = faults.world
    recorder = world.hosts["b"].machine
    assert isinstance(recorder, Recorder)
    recorder.answer = lambda event, now: [m.Stop("enough")]
    world.ask("b", 1, "stop")
    assert not world.hosts["b"].up
    world.run_until(SECOND)
    assert world.hosts["b"].up and world.hosts["b"].incarnation == 2


def test_plans_differ_between_seeds_and_not_within_one() -> None:
    plans = [draw_plan(Random(seed), 1, 2) for seed in range(60)]
    assert plans[7] == draw_plan(Random(7), 1, 2)
    assert {kind for plan in plans for kind in plan.mean_interval_us} == set(KINDS)
    assert all(plan.mean_interval_us for plan in plans)
    assert any(len(plan.mean_interval_us) == 1 for plan in plans)
    assert any(len(plan.mean_interval_us) >= 4 for plan in plans)
    only = [draw_plan(Random(seed), 1, 2, ("reset",)) for seed in range(20)]
    assert all(list(plan.mean_interval_us) == ["reset"] for plan in only)
    assert plans[0].describe() != ""


def test_the_weather_differs_between_seeds() -> None:
    weathers = {str(draw_weather(Random(seed))) for seed in range(60)}
    assert len(weathers) > 10


def test_mass_crashes_take_all_at_one_moment() -> None:
    for kind, expected in (("crash_all", set(HOSTS)), ("blackout", {*HOSTS, COORDINATOR})):
        faults = injector(plan_of(kind))
        faults.world.run_until(2 * SECOND)
        crashes = [
            (at, note.split(" ", 1)[0])
            for at, note in notes(faults)
            if note.endswith(("crashes", "goes dark"))
        ]
        first = [host for at, host in crashes if at == crashes[0][0]]
        assert set(first) == expected and len(first) == len(expected), kind


def test_some_disks_are_slow_before_everything_dies() -> None:
    faults = injector(plan_of("blackout"))
    faults.world.run_until(5 * SECOND - 1)
    noted = [(at, note) for at, note in notes(faults) if "hinders" in note or "crashes" in note]
    hindered = [at for at, note in noted if "hinders" in note]
    assert hindered
    for at in hindered[:-1]:
        died = [when for when, note in noted if "hinders" not in note and when >= at]
        assert died[0] - at <= HINDERED_US_MAX


def test_nodes_that_are_told_to_end_do_so_in_their_own_time_or_are_ended() -> None:
    faults = injector(plan_of("restart"))
    world = faults.world
    keeper = world.hosts["b"].machine
    assert isinstance(keeper, Keeper)
    keeper.answer = lambda event, now: (
        [m.Answer(event.number, None)] if isinstance(event, m.Asked) else []
    )
    coordinator = world.hosts[COORDINATOR].machine
    assert isinstance(coordinator, Recorder)
    world.run_until(5 * SECOND - 1)
    lives = [note for note in notes(faults) if note[1].startswith("b ")]
    told = [at for at, note in lives if note == "b is told to end"]
    ended = [at for at, note in lives if note == "b crashes"]
    assert told[0] == ended[0], "it answered at once"
    assert len(told) == 2 and len(ended) == 1, "the next has no answer, and its time is not over"
    asked = [event.question for event in coordinator.events(m.Asked) if isinstance(event, m.Asked)]
    assert ("hand over", "b") in asked
    world.run_until(5 * SECOND)
    assert all(world.hosts[name].up for name in HOSTS)


def test_some_stay_down_until_the_healing() -> None:
    faults = injector(plan_of("crash_all", late_probability=1.0))
    faults.world.run_until(5 * SECOND - 1)
    assert faults.counts["crash_all"] >= 1
    assert not any(faults.world.hosts[name].up for name in HOSTS)


def test_stores_have_trouble_that_ends() -> None:
    said = {"slow_store": "commits take", "failing_store": "commits fail", "full_store": "full"}
    for kind, text in said.items():
        faults = injector(plan_of(kind))
        failures = 0
        faults.world.run_until(5 * SECOND)
        assert any(text in note for _, note in notes(faults)), kind
        for name in HOSTS:
            keeper = faults.world.hosts[name].machine
            assert isinstance(keeper, Keeper)
            failures += len(keeper.events(m.CommitFailed))
            assert keeper.events(m.Committed)
        assert bool(failures) is (kind != "slow_store")


def test_damage_is_done_to_one_host_only() -> None:
    faults = injector(plan_of(DAMAGE))
    faults.world.run_until(3 * SECOND)
    assert len({note.split(" ")[0] for _, note in notes(faults) if "damaged" in note}) == 1


def test_durable_plans_have_every_kind_and_mass_crashes_are_rare() -> None:
    plans = [draw_durable_plan(Random(seed), 1, 2) for seed in range(80)]
    assert plans[7] == draw_durable_plan(Random(7), 1, 2)
    assert {kind for plan in plans for kind in plan.mean_interval_us} == set(DURABLE_KINDS)
    assert all(plan.mean_interval_us.get("crash_all", 1_000_000) >= 1_000_000 for plan in plans)
    assert {plan.down_max for plan in plans} == {1, 2, 3}
