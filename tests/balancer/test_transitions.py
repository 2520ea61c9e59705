"""Tests of what follows when a server changes."""

from __future__ import annotations

from rabbitry.balancer.backends import Backend
from rabbitry.balancer.configuration.model import BackendSection, ServerLine
from rabbitry.balancer.servers import Admin, Check, Operating, Server
from rabbitry.balancer.transitions import Transitions
from rabbitry.machine import Address, Effect, Report, SetTimer

PLACE = Address("127.0.0.1", 5672)
BAD = Check("L4CON", "Layer4 connection problem")
S = 1_000_000


class Calls:
    """Notes what the room of sessions is asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def shut_down_sessions(self, server: Server, why: str, now: int) -> int:
        self.asked.append(f"shut down {server.name} {why}")
        return 0

    def requeue_sessions(self, backend: Backend, server: Server, now: int) -> int:
        self.asked.append(f"requeue {server.name}")
        return 3

    def take_queued_sessions(self, backend: Backend, server: Server, now: int) -> int:
        self.asked.append(f"take {server.name}")
        return 2


class Stage:
    """Backend b with servers made of these words, and its transitions."""

    def __init__(self, **servers: dict[str, object]) -> None:
        lines = tuple(
            ServerLine(name, PLACE, **{"check": True, **words})  # type: ignore[arg-type]
            for name, words in servers.items()
        )
        self.backend = Backend(BackendSection("b", 2, "tcp", servers=lines))
        self.calls = Calls()
        self.out: list[Effect] = []
        self.transitions = Transitions([self.backend], self.calls, self.out)
        self.backend.started(0)

    def __getitem__(self, name: str) -> Server:
        return next(each for each in self.backend.servers if each.name == name)

    def told(self) -> list[str]:
        told = [effect.what for effect in self.out if isinstance(effect, Report)]
        self.out.clear()
        return told

    def usable(self) -> str:
        return "".join(each.name for each in self.backend.in_turn)


def test_down_and_up() -> None:
    stage = Stage(a={}, b={})
    stage.transitions.stop(stage["a"], 1, BAD)
    assert (stage.usable(), stage["a"].changes.downs) == ("b", 1)
    report = stage.out[0]
    assert isinstance(report, Report)
    assert (report.level, report.details["severity"]) == ("warning", "alert")
    assert (report.details["moved"], report.details["active_left"]) == (3, 1)
    stage.transitions.stop(stage["a"], 2, BAD)  # it is down already
    stage.transitions.run(stage["a"], 3)
    assert stage.told() == ["server is down", "server is up"]
    assert stage.usable() == "ab"
    assert stage.calls.asked == ["requeue a", "take a"]


def test_the_last_one_to_go_takes_the_proxy_with_it() -> None:
    stage = Stage(a={})
    stage.transitions.stop(stage["a"], 1, BAD)
    assert stage.told() == ["server is down", "proxy has no server available"]
    stage.transitions.run(stage["a"], 5)
    assert stage.backend.changes.down_us(9) == 4


def test_sessions_are_ended_where_the_line_asks_for_it() -> None:
    stage = Stage(
        a={"on_marked_down": "shutdown-sessions", "on_marked_up": "shutdown-backup-sessions"},
        x={"backup": True},
    )
    stage.transitions.stop(stage["a"], 1)
    stage.transitions.run(stage["a"], 2)
    assert stage.calls.asked == ["shut down a D", "requeue a", "shut down x U", "take a"]


def test_maintenance_wins_over_checks() -> None:
    stage = Stage(a={}, b={})
    stage.transitions.set_admin(stage["a"], Admin.FORCED_MAINT, 1)
    assert (stage.usable(), stage["a"].status) == ("b", "MAINT")
    stage.transitions.run(stage["a"], 2)
    assert stage.usable() == "b"
    stage.transitions.clear_admin(stage["a"], Admin.FORCED_MAINT, 3)
    assert (stage.usable(), stage["a"].health.value) == ("ab", 2)
    assert stage.told() == ["server enters maintenance", "server leaves maintenance"]


def test_a_server_that_is_down_enters_maintenance_and_comes_out_of_it_up() -> None:
    stage = Stage(a={})
    stage.transitions.stop(stage["a"], 1)
    stage.transitions.set_admin(stage["a"], Admin.FORCED_MAINT, 2)
    assert stage.told()[-1] == "server was down and enters maintenance"
    stage.transitions.clear_admin(stage["a"], Admin.FORCED_MAINT, 3)
    assert stage["a"].is_usable


def test_drain_keeps_a_server_up_without_new_sessions() -> None:
    stage = Stage(a={}, b={})
    stage.transitions.set_admin(stage["a"], Admin.FORCED_DRAIN, 1)
    assert (stage.usable(), stage["a"].is_up) == ("b", True)
    assert not any(call.startswith("shut") for call in stage.calls.asked)
    stage.transitions.clear_admin(stage["a"], Admin.FORCED_DRAIN, 2)
    assert stage.usable() == "ab"
    assert stage.told() == ["server is drained", "server leaves drain"]


def test_stopping_is_neither_up_nor_down() -> None:
    stage = Stage(a={}, b={})
    stage.transitions.finish(stage["a"], 1)
    assert (stage.usable(), stage["a"].is_up) == ("b", True)
    stage.transitions.run(stage["a"], 2)
    assert stage.usable() == "ab"


def test_trackers_follow() -> None:
    stage = Stage(a={}, t={"check": False, "track": "b/a"}, u={"check": False, "track": "t"})
    stage.transitions.stop(stage["a"], 1)
    assert stage.usable() == ""
    stage.transitions.run(stage["a"], 2)
    assert stage.usable() == "atu"
    stage.transitions.set_admin(stage["a"], Admin.FORCED_MAINT, 3)
    assert (stage["u"].admin, stage.usable()) == (Admin.INHERITED_MAINT, "")
    stage.transitions.clear_admin(stage["a"], Admin.FORCED_MAINT, 4)
    assert stage.usable() == "atu"
    stage.transitions.set_admin(stage["a"], Admin.FORCED_DRAIN, 5)
    assert stage.usable() == ""


def test_what_is_both_forced_and_inherited_stays_until_both_are_gone() -> None:
    stage = Stage(a={}, t={"check": False, "track": "b/a"})
    stage.transitions.set_admin(stage["t"], Admin.FORCED_MAINT, 1)
    stage.transitions.set_admin(stage["a"], Admin.FORCED_MAINT, 2)
    stage.transitions.clear_admin(stage["t"], Admin.FORCED_MAINT, 3)
    assert stage.told()[-1] == "server stays as it is"
    assert not stage["t"].is_usable
    stage.transitions.clear_admin(stage["a"], Admin.FORCED_MAINT, 4)
    assert stage.usable() == "at"


def test_a_tracker_of_a_disabled_server_begins_in_maintenance() -> None:
    stage = Stage(a={"disabled": True}, t={"check": False, "track": "b/a"})
    assert stage["t"].status == "MAINT (via b/a)"


def test_slowstart_goes_by_timer() -> None:
    stage = Stage(a={"slowstart_us": 4 * S, "weight": 4}, b={})
    stage.transitions.stop(stage["a"], 0)
    stage.transitions.run(stage["a"], 10 * S)
    weights = [stage["a"].effective_weight]
    now = 10 * S
    while timers := [effect for effect in stage.out if isinstance(effect, SetTimer)]:
        stage.out.clear()
        now = timers[-1].at
        assert stage.transitions.timer_fired(timers[-1].timer, now)
        weights.append(stage["a"].effective_weight)
    assert weights == [4, 20, 36, 52, 64]
    assert (now, stage["a"].operating) == (14 * S, Operating.RUNNING)
    assert not stage.transitions.timer_fired("another", now)


def test_weight_nothing_drains() -> None:
    stage = Stage(a={}, b={})
    stage.transitions.set_weight(stage["a"], 0, 1)
    assert (stage.usable(), stage["a"].status) == ("b", "UP 1/3")
    stage.transitions.set_weight(stage["a"], 3, 2)
    assert stage["a"].effective_weight == 48


def test_a_server_taken_away_is_forgotten() -> None:
    stage = Stage(a={}, b={})
    server = stage["a"]
    stage.transitions.set_admin(server, Admin.FORCED_MAINT, 1)
    stage.backend.remove_server(server)
    stage.transitions.forget(server)
    assert not stage.transitions.timer_fired("warmup b/a", 2)
    fresh = Server(ServerLine("a", PLACE), 3, "b")
    stage.backend.add_server(fresh)
    stage.transitions.know(fresh)
    assert stage.usable() == "ba"
