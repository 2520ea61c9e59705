"""Tests of what a disk that stands still means for a watched AMQP server, in virtual time."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from support.amqp_server import AmqpServer
from support.amqp_watching import MS, OK, Stage, statuses

from rabbitry.balancer.checking.amqp_watch import PATIENCE_US

STUCK = "disk: no confirm within 500ms"


def test_a_disk_that_stands_still_fails_as_silence_does_until_it_moves() -> None:
    stage = Stage(asks_disk=True)
    server = stage.servers[1]
    stage.pass_time(700)
    server.change_disk("stuck")
    stage.pass_time(PATIENCE_US // MS + 5000)
    failed = [each for each in stage.verdicts if each[1] == "L7TOUT"]
    assert [at for at, _, _ in failed][:4] == [1500, 2500, 3500, 4500]
    assert {text for _, _, text in failed} == {STUCK}
    assert list(stage.servers) == [1]  # it answers methods: nobody is looked for beside it
    before = len(stage.verdicts)
    stage.say(1, server.change_disk())
    assert stage.verdicts[before:] == [(stage.now // MS, "L7OK", OK)]
    stage.pass_time(stage.now // MS + 2000)
    assert {each[1:] for each in stage.verdicts[before:]} == {("L7OK", OK)}


def test_a_slow_disk_is_no_disk_that_stands_still() -> None:
    """Each late confirm fails once and passes when it comes: so nobody is DOWN by it."""
    stage = Stage(asks_disk=True)
    server = stage.servers[1]
    for _ in range(4):
        server.change_disk("stuck")
        stage.pass_time(stage.now // MS + 1200)
        stage.say(1, server.change_disk())
    assert statuses(stage)[1:] == ["L7TOUT", "L7OK"] * 4


def test_a_confirm_that_waits_for_other_nodes_is_no_fault_of_this_one() -> None:
    stage = Stage(asks_disk=True)
    server = stage.servers[1]
    server.change_disk("stuck elsewhere")
    stage.pass_time(5000)
    assert set(statuses(stage)) == {"L7OK"}
    assert stage.verdicts[-1][2] == f"{OK}, confirms wait for other nodes"
    stage.pass_time(5100)
    server.change_disk("stuck")  # and now this one's, too
    stage.pass_time(7000)
    assert stage.verdicts[-1][1:] == ("L7TOUT", STUCK)
    stage.say(1, server.change_disk("stuck elsewhere"))
    stage.pass_time(9000)
    assert stage.verdicts[-1][2] == f"{OK}, confirms wait for other nodes"
    stage.say(1, server.change_disk())
    stage.pass_time(10_000)
    assert stage.verdicts[-1][1:] == ("L7OK", OK)


def test_a_declaration_without_an_answer_is_no_disk_that_stands_still() -> None:
    stage = Stage(asks_disk=True, new_server=stuck_server)
    stage.pass_time(4000)
    assert stage.verdicts[0] == (1000, "L7OK", f"{OK}, {WITHOUT_DECLARATION}")
    assert set(statuses(stage)) == {"L7OK"}
    assert list(stage.servers) == [1]
    stage.say(1, stage.servers[1].change_disk())
    stage.pass_time(6000)
    assert stage.verdicts[-1][1:] == ("L7OK", OK)
    stage.servers[1].change_disk("stuck")
    stage.pass_time(8000)
    assert stage.verdicts[-1][1:] == ("L7TOUT", STUCK)


WITHOUT_DECLARATION = "its disk is not asked yet: no queue.declare-ok"


def stuck_server() -> AmqpServer:
    server = AmqpServer()
    server.disk = "stuck"
    return server


def test_a_disk_that_nobody_may_ask_is_asked_once() -> None:
    stage = Stage(asks_disk=True, new_server=refusing_server)
    stage.pass_time(2000)
    assert set(statuses(stage)) == {"L7OK"}
    assert stage.watch.disk_refusal == "403 ACCESS_REFUSED - no"
    assert stage.verdicts[-1][2] == f"{OK}, its disk is not asked: 403 ACCESS_REFUSED - no"
    stage.break_link(1)
    assert stage.servers[2].received.count("queue.declare") == 0
    assert stage.verdicts[-1][2] == f"{OK}, its disk is not asked: 403 ACCESS_REFUSED - no"
    stage.new_server = AmqpServer
    stage.watch.end(stage.now)
    stage.watch.begin(stage.now)  # after maintenance
    stage.settle()
    assert stage.servers[3].declarations
    assert stage.verdicts[-1][2] == OK


def test_a_server_that_ends_the_connection_for_it_is_asked_without_its_disk() -> None:
    stage = Stage(asks_disk=True, new_server=stuck_server)
    stage.say(1, stage.servers[1].close(541, "INTERNAL_ERROR"))
    assert stage.verdicts == [
        (0, "L7OK", f"{OK}, its disk is not asked: closed the connection: 541 INTERNAL_ERROR")
    ]
    stage = Stage(asks_disk=True, new_server=stuck_server)
    stage.say(1, stage.servers[1].close(320, "CONNECTION_FORCED - shutdown"))
    assert stage.verdicts[0][1] == "L7OKC"
    assert stage.watch.disk_refusal == ""


def refusing_server() -> AmqpServer:
    server = AmqpServer()
    server.refused = 403
    return server


def test_a_server_in_alarm_has_no_disk_that_stands_still() -> None:
    stage = Stage(asks_disk=True)
    first = stage.servers[1]
    first.alarm = "low on disk"
    stage.pass_time(8000)
    assert set(statuses(stage)) == {"L7OK"}
    assert stage.watch.alarm == "low on disk"
    assert stage.servers[2].declarations == []
    stage.say(1, first.calm())
    stage.pass_time(9000)
    assert list(stage.servers) == [1]
    assert stage.verdicts[-1] == (9000, "L7OK", OK)
    first.change_disk("stuck")
    stage.pass_time(11_000)
    assert stage.verdicts[-1][1:] == ("L7TOUT", STUCK)


def node_of_ours() -> AmqpServer:
    return AmqpServer("Rabbitry", "1.0")


@pytest.mark.parametrize("new_server", [AmqpServer, node_of_ours])
@pytest.mark.parametrize("owes", [True, False])
def test_what_waits_when_an_alarm_ends_has_its_time_from_then(
    new_server: Callable[[], AmqpServer], owes: bool
) -> None:
    """The question under way was put to the second connection, which goes: the first, which was
    not read, can answer only now."""
    stage = Stage(asks_disk=True, new_server=new_server)
    first = stage.servers[1]
    if owes:
        first.change_disk("stuck")
    first.alarm = "low on disk"
    stage.pass_time(2200)
    assert stage.watch.alarm
    stage.servers[2].silent = True
    stage.pass_time(2990)
    assert stage.watch.in_progress
    stage.say(1, first.calm())
    stage.pass_time(3200)
    stage.say(1, first.change_disk())
    stage.pass_time(5000)
    assert set(statuses(stage)) == {"L7OK"}
    assert not stage.watch.alarm


def test_a_server_that_hangs_altogether_is_not_called_a_disk() -> None:
    stage = Stage(asks_disk=True)
    stage.servers[1].change_disk("stuck")
    stage.pass_time(2200)
    stage.servers[1].silent = True
    stage.pass_time(4000)
    assert stage.verdicts[-1][1:] == (
        "L7TOUT",
        "accepts but does not answer: no basic.qos-ok",
    )


def test_a_connection_that_takes_the_place_of_a_silent_one_asks_the_disk_too() -> None:
    stage = Stage(asks_disk=True)
    stage.servers[1].silent = True  # its host has gone, say, without a word
    stage.pass_time(9000)
    assert 1 not in stage.watch._open
    assert stage.verdicts[-1][1:] == ("L7OK", OK)
    stage.servers[2].change_disk("stuck")
    stage.pass_time(11_000)
    assert stage.verdicts[-1][1:] == ("L7TOUT", STUCK)
