"""`option amqp-check` of a LavinMQ: what LavinMQ 2.1.0 said to this very check, byte for byte."""

from __future__ import annotations

import pytest
from support.checked_server import MS, CheckedServer, line, links_opened
from support.lavinmq import (
    ACCESS_REFUSED,
    CHANNEL_OPEN_OK,
    NO_VHOST,
    OPEN_OK,
    QOS_OK,
    SHUTDOWN,
    START,
    TUNE,
    LavinMq,
)

from rabbitry.balancer.checking.amqp_checker import AmqpChecker
from rabbitry.balancer.configuration.model import AmqpCheck
from rabbitry.machine import CloseLink, Effect, OpenLink, SendBytes

UP = ("L7OK", "LavinMQ 2.1.0")
IN_ALARM = ("L7OK", "LavinMQ 2.1.0, blocks publishers: low on disk")


class Checked(CheckedServer):
    """A checked LavinMQ. `connections` has each that was made; links count down from -1.

    While it is not `reachable` links are neither opened nor refused.
    """

    def __init__(self, low_on_disk: bool = False, may_write: bool = True) -> None:
        section = AmqpCheck()
        super().__init__(line(inter_us=1000 * MS, fall=3, rise=2), amqp_check=section)
        self.low_on_disk = low_on_disk
        self.may_write = may_write
        self.reachable = True
        self.closed_links: list[int] = []
        self.connections: dict[int, LavinMq] = {}
        self._play(self.begin(AmqpChecker(self.desk, self.backend, self.server, section, 0)))

    def change_disk(self, low_on_disk: bool) -> None:
        self.low_on_disk = low_on_disk
        for connection in self.connections.values():
            connection.low_on_disk = low_on_disk

    def live(self, time_ms: int) -> None:
        """Let time pass, and LavinMQ answer what it is asked on the way."""
        until = self.now + time_ms * MS
        while self.now < until:
            self._play(self.pass_time(50))

    def resume(self, link: int) -> None:
        """Let a connection that was silent answer what it owes."""
        self._play(self.received(link, self.connections[link].feed(b"")))

    def _play(self, effects: list[Effect]) -> None:
        while effects:
            effect = effects.pop(0)
            if isinstance(effect, OpenLink) and self.reachable:
                self.connections[effect.link] = LavinMq(self.low_on_disk, self.may_write)
                effects += self.opened(effect.link)
            elif isinstance(effect, SendBytes):
                answer = self.connections[effect.link].feed(effect.data)
                effects += self.received(effect.link, answer) if answer else []
            elif isinstance(effect, CloseLink):
                self.closed_links.append(effect.link)
                effects += self.closed(effect.link)

    @property
    def warnings(self) -> int:
        return sum(each.warnings for each in self.connections.values())


def test_it_is_up_and_named() -> None:
    stage = Checked()
    assert (stage.found, stage.server.status) == (UP, "UP")


def test_while_all_is_well_a_publish_is_begun_every_five_seconds_and_nothing_is_logged() -> None:
    stage = Checked()
    stage.live(22_000)
    (connection,) = stage.connections.values()
    assert connection.publishes == 5
    assert (stage.warnings, stage.told()) == (0, [])
    assert (stage.found, stage.server.status) == (UP, "UP")


def test_low_on_disk_it_stays_up_says_so_and_is_seldom_asked() -> None:
    stage = Checked()
    stage.live(1000)
    stage.change_disk(low_on_disk=True)
    stage.live(5000)
    assert (stage.found, stage.server.status) == (IN_ALARM, "UP")
    stage.live(28_000)
    assert stage.warnings == 1
    stage.live(60_000)
    assert stage.warnings == 3
    assert (stage.found, stage.server.status) == (IN_ALARM, "UP")
    assert len(stage.connections) == 1
    assert stage.told() == ["server blocks publishers"]


def test_when_it_has_space_again_that_is_seen_within_half_a_minute() -> None:
    stage = Checked(low_on_disk=True)
    assert stage.found == IN_ALARM
    stage.live(10_000)
    stage.change_disk(low_on_disk=False)
    stage.live(21_000)
    assert stage.found == UP
    assert stage.told() == ["server blocks publishers", "server takes publishers again"]


def test_one_that_hangs_in_alarm_is_down_and_in_alarm_when_it_is_back() -> None:
    stage = Checked(low_on_disk=True)
    stage.live(2000)
    stage.connections[-1].silent = True
    stage.live(3000)
    assert (stage.server.status, stage.found[0]) == ("DOWN", "L7TOUT")
    stage.live(6000)  # a connection beside the silent one has taken its place
    assert list(stage.connections) == [-1, -2]
    assert (stage.server.status, stage.found) == ("UP", IN_ALARM)
    stage.change_disk(low_on_disk=False)
    stage.live(31_000)
    assert stage.found == UP


def test_one_that_goes_on_in_alarm_needs_no_connection_beside_it() -> None:
    stage = Checked(low_on_disk=True)
    stage.live(2000)
    stage.reachable = False
    stage.connections[-1].silent = True
    stage.live(6000)
    assert stage.links == -2  # one is being opened
    stage.connections[-1].silent = False
    stage.reachable = True
    stage.resume(-1)
    stage.live(2000)
    assert (stage.server.status, stage.found) == ("UP", IN_ALARM)
    assert stage.closed_links == [-2]


def test_a_user_who_may_not_write_is_told_of_and_asks_once() -> None:
    stage = Checked(may_write=False)
    stage.live(40_000)
    refusal = "403 ACCESS_REFUSED - User not allowed to publish to exchange ''"
    assert stage.found == ("L7OK", f"LavinMQ 2.1.0, its alarms are not asked: {refusal}")
    assert (stage.server.status, stage.warnings) == ("UP", 1)


@pytest.mark.parametrize(
    ("answers", "found", "status"),
    [
        (
            (START, ACCESS_REFUSED),
            ("L7STS", "refuses the login of user 'guest': 403 ACCESS_REFUSED"),
            "DOWN",
        ),
        (
            (START, TUNE, NO_VHOST),
            ("L7STS", "refuses virtual host '/': 530 NOT_ALLOWED - vhost not found"),
            "DOWN",
        ),
        (
            (START, TUNE, OPEN_OK, CHANNEL_OPEN_OK, QOS_OK, SHUTDOWN),
            ("L7OKC", "is leaving: 320 CONNECTION_FORCED - Broker shutdown"),
            "NOLB",
        ),
    ],
)
def test_its_refusals_and_its_farewell_are_told_apart(
    answers: tuple[bytes, ...], found: tuple[str, str], status: str
) -> None:
    section = AmqpCheck()
    stage = CheckedServer(line(inter_us=1000 * MS, fall=3, rise=2), amqp_check=section)
    checker = AmqpChecker(stage.desk, stage.backend, stage.server, section, 0)
    (link,) = links_opened(stage.begin(checker))
    stage.opened(link)
    for answer in answers:
        stage.received(link, answer)
    assert (stage.found, stage.server.status) == (found, status)
