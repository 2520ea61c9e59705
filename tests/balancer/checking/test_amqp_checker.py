"""Tests of `option amqp-check` on one server: effects and health."""

from __future__ import annotations

from support.amqp_server import AmqpServer
from support.checked_server import (
    MS,
    CheckedServer,
    bytes_sent,
    line,
    links_closed,
    links_opened,
)

from rabbitry.balancer.checking.amqp_checker import KEEPALIVE_IDLE_S, AmqpChecker
from rabbitry.balancer.checking.amqp_watch import PROBE_PAUSE_US
from rabbitry.balancer.configuration.model import AmqpCheck
from rabbitry.balancer.servers import Admin
from rabbitry.machine import Address, Effect, OpenLink, SendBytes

LINE = line(inter_us=1000 * MS, fall=3, rise=2, on_marked_down="shutdown-sessions")


class Brokers:
    """Servers behind the links that a checker opens; links open, and are answered, at once."""

    def __init__(self, stage: CheckedServer, refused: int) -> None:
        self.stage = stage
        self.refused = refused  # by this code, to declare queues
        self.by_link: dict[int, AmqpServer] = {}
        self.closed: list[tuple[int, bool]] = []

    def settle(self, effects: list[Effect]) -> None:
        stage = self.stage
        while effects:
            following: list[Effect] = []
            for link in links_opened(effects):
                self.by_link[link] = AmqpServer()
                self.by_link[link].refused = self.refused
                following += stage.opened(link)
            for effect in effects:
                server = self.by_link.get(effect.link) if isinstance(effect, SendBytes) else None
                if server is None or not isinstance(effect, SendBytes):
                    continue
                if answer := server.feed(effect.data):
                    following += stage.received(effect.link, answer)
            for link, abort in links_closed(effects):
                self.closed.append((link, abort))
                self.by_link.pop(link, None)
                following += stage.closed(link)
            effects = following

    def pass_time(self, time_ms: int) -> None:
        for _ in range(time_ms // 10):
            self.settle(self.stage.pass_time(10))


def checked(
    login: AmqpCheck = AmqpCheck(),  # noqa: B008 - it is frozen
    refused: int = 0,
    timeout_check_us: int | None = None,
) -> tuple[CheckedServer, Brokers]:
    stage = CheckedServer(LINE, check="amqp", amqp_check=login, timeout_check_us=timeout_check_us)
    brokers = Brokers(stage, refused)
    brokers.settle(stage.begin(AmqpChecker(stage.desk, stage.backend, stage.server, login, 0)))
    return stage, brokers


def test_the_connection_is_kept_and_kept_alive() -> None:
    stage = CheckedServer(LINE, check="amqp", amqp_check=AmqpCheck())
    checker = AmqpChecker(stage.desk, stage.backend, stage.server, AmqpCheck(), 0)
    (effect,) = stage.begin(checker)
    assert isinstance(effect, OpenLink)
    assert effect.options is not None
    assert effect.options.keepalive
    assert effect.options.keepalive_idle_s == KEEPALIVE_IDLE_S
    stage, brokers = checked()
    brokers.pass_time(5000)
    assert stage.links == -1
    assert stage.found == ("L7OK", "RabbitMQ 3.10.8")
    assert stage.server.status == "UP"


def test_a_hung_server_is_down_within_fall_times_inter() -> None:
    for hangs_at in range(2000, 3000, 70):
        # As `defaults` often have it, for checks of other kinds.
        stage, brokers = checked(timeout_check_us=10_000 * MS if hangs_at % 20 else None)
        brokers.pass_time(hangs_at)
        brokers.by_link[-1].silent = True
        brokers.pass_time(2000)
        assert stage.server.is_up
        brokers.pass_time(1000)
        assert stage.server.status == "DOWN"
        assert stage.sessions.shut_down == ["s"]
        assert stage.found == ("L7TOUT", "accepts but does not answer: no basic.qos-ok")
        brokers.settle(stage.received(-1, brokers.by_link[-1].go_on()))
        brokers.pass_time(1500)
        assert stage.server.status == "UP"
        assert stage.links == -1


def test_a_server_that_leaves_gets_nothing_new_at_once() -> None:
    stage, brokers = checked()
    brokers.pass_time(1200)
    closing = brokers.by_link[-1].close(320, "CONNECTION_FORCED - shutdown")
    brokers.settle(stage.received(-1, closing))
    assert stage.server.status == "NOLB"
    assert stage.server.check.code == 320
    assert stage.server.check.remark == "is leaving: 320 CONNECTION_FORCED - shutdown"
    assert (-1, False) in brokers.closed
    (link,) = links_opened(stage.pass_time(250))
    stage.closed(link, "Connection refused")
    assert stage.server.status == "DOWN"


def test_an_alarm_is_told_and_changes_nothing() -> None:
    stage, brokers = checked()
    brokers.by_link[-1].alarm = "low on disk"
    brokers.pass_time(PROBE_PAUSE_US // MS + 2000)
    assert stage.told() == ["server blocks publishers"]
    assert stage.server.status == "UP"
    assert stage.server.check.remark == "blocks publishers: low on disk"
    brokers.settle(stage.received(-1, brokers.by_link[-1].calm()))
    brokers.pass_time(2000)
    assert stage.told() == ["server blocks publishers", "server takes publishers again"]
    assert stage.server.check.remark == ""


def test_a_disk_that_stands_still_is_down_within_fall_times_inter() -> None:
    for stands_at in range(2000, 3000, 130):
        stage, brokers = checked()
        brokers.pass_time(stands_at)
        brokers.by_link[-1].change_disk("stuck")
        brokers.pass_time(2000)
        assert stage.server.is_up
        brokers.pass_time(1000)
        assert stage.server.status == "DOWN"
        assert stage.found == ("L7TOUT", "disk: no confirm within 500ms")
        brokers.settle(stage.received(-1, brokers.by_link[-1].change_disk()))
        brokers.pass_time(1500)
        assert stage.server.status == "UP"
        assert stage.links == -1


def test_without_the_disk_nothing_is_declared() -> None:
    stage, brokers = checked(AmqpCheck(asks_disk=False))
    brokers.pass_time(2000)
    assert brokers.by_link[-1].declarations == []
    assert stage.server.status == "UP"


def test_a_disk_that_nobody_may_ask_is_told_once() -> None:
    stage, brokers = checked(refused=403)
    brokers.pass_time(3000)
    assert stage.told() == ["server lets nobody ask its disk"]
    assert stage.server.status == "UP"
    text = "RabbitMQ 3.10.8, its disk is not asked: 403 ACCESS_REFUSED - no"
    assert stage.found == ("L7OK", text)


def test_maintenance_ends_the_connection_in_order() -> None:
    stage, brokers = checked()
    server = brokers.by_link[-1]
    stage.transitions.set_admin(stage.server, Admin.FORCED_MAINT, stage.now)
    brokers.pass_time(1000)
    assert server.endpoint.end_reason == "200 Goodbye"
    assert brokers.by_link == {}
    stage.transitions.clear_admin(stage.server, Admin.FORCED_MAINT, stage.now)
    brokers.pass_time(1000)
    assert list(brokers.by_link) == [-2]
    assert stage.server.status == "UP"


def test_a_server_that_is_moved_is_asked_where_it_is() -> None:
    stage, brokers = checked()
    server = brokers.by_link[-1]
    stage.server.address = Address("127.0.0.2", 5672)
    effects = stage.pass_time(500)
    (opening,) = [each for each in effects if isinstance(each, OpenLink)]
    assert opening.address == stage.server.address
    brokers.settle(effects)
    assert server.endpoint.end_reason == "200 Goodbye"
    assert list(brokers.by_link) == [-2]


def test_the_end_is_in_order() -> None:
    stage, brokers = checked()
    server = brokers.by_link[-1]
    assert stage.checker is not None
    stage.checker.end(stage.now)
    brokers.settle(stage.take())
    assert server.endpoint.end_reason == "200 Goodbye"
    assert stage.desk.by_link == {}
    assert stage.timer_at is None


def test_the_proxy_header_goes_first() -> None:
    stage = CheckedServer(line(check_send_proxy=1), check="amqp", amqp_check=AmqpCheck())
    checker = AmqpChecker(stage.desk, stage.backend, stage.server, AmqpCheck(), 0)
    (opening,) = (each for each in stage.begin(checker) if isinstance(each, OpenLink))
    assert opening.options is not None and opening.options.names_itself
    assert bytes_sent(stage.opened(-1)) == [b"AMQP\x00\x00\x09\x01"]
