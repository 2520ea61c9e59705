"""Tests of the question whether a LavinMQ takes messages, answered with what LavinMQ said."""

from __future__ import annotations

import pytest
from support.lavinmq import (
    LOW_ON_DISK,
    PUBLISH,
    QOS_OK,
    QUESTION,
    SECOND_CHANNEL_CLOSE,
    SECOND_CHANNEL_CLOSE_OK,
    SECOND_CHANNEL_CLOSED,
    SECOND_CHANNEL_OPEN,
    SECOND_CHANNEL_OPEN_OK,
    TUNE_OF_ONE_CHANNEL,
    LavinMq,
)

from rabbitry.balancer.checking.amqp_asking import AmqpAsking
from rabbitry.connection.handshake import Credentials

PROBE = SECOND_CHANNEL_OPEN + PUBLISH + QUESTION


def logged_in(server: LavinMq, probes: bool = True) -> AmqpAsking:
    """A connection that has asked once, and had its answer."""
    asking = AmqpAsking(Credentials("guest", "guest"), "b/s", 0, probes=probes)
    converse(asking, server)
    return asking


def converse(asking: AmqpAsking, server: LavinMq) -> None:
    """Let both talk until both are silent."""
    while sent := asking.take_bytes(0):
        asking.received(server.feed(sent), 0)


def test_a_publish_is_begun_before_the_question_and_given_up_behind_its_answer() -> None:
    asking = logged_in(LavinMq())
    asking.ask(0, probe=True)
    assert asking.take_bytes(0) == PROBE
    asking.received(SECOND_CHANNEL_OPEN_OK, 0)
    assert asking.take_bytes(0) == b""
    assert asking.received(QOS_OK, 0)
    assert asking.take_bytes(0) == SECOND_CHANNEL_CLOSE
    assert (asking.alarm, asking.remark) == ("", "")


def test_a_refused_publish_is_an_alarm_and_the_connection_goes_on() -> None:
    server = LavinMq()
    asking = logged_in(server)
    asking.ask(0, probe=True)
    asking.take_bytes(0)
    for answer in (SECOND_CHANNEL_OPEN_OK, LOW_ON_DISK):
        assert not asking.received(answer, 0)
    assert asking.take_bytes(0) == SECOND_CHANNEL_CLOSED
    assert asking.received(QOS_OK, 0)
    assert asking.take_bytes(0) == b""
    assert (asking.alarm, asking.blocked_by, asking.remark) == ("low on disk", "", "")
    assert asking.conclusion is None


def test_the_bytes_may_come_one_by_one() -> None:
    asking = logged_in(LavinMq())
    asking.ask(0, probe=True)
    answers = [
        asking.received(bytes((each,)), 0) for each in SECOND_CHANNEL_OPEN_OK + LOW_ON_DISK + QOS_OK
    ]
    assert answers.count(True) == 1
    assert answers[-1]
    assert asking.alarm == "low on disk"


def test_it_is_in_alarm_until_a_publish_is_let_through() -> None:
    server = LavinMq(low_on_disk=True)
    asking = logged_in(server)
    assert asking.alarm == "low on disk"
    server.low_on_disk = False
    asking.ask(0, probe=False)
    converse(asking, server)
    assert asking.alarm == "low on disk"
    asking.ask(0, probe=True)
    converse(asking, server)
    assert asking.alarm == ""
    assert (server.publishes, server.warnings) == (2, 1)


def test_its_channel_is_not_opened_again_before_it_is_closed() -> None:
    asking = logged_in(LavinMq())
    asking.ask(0, probe=True)
    asking.take_bytes(0)
    asking.received(SECOND_CHANNEL_OPEN_OK + QOS_OK, 0)
    asking.take_bytes(0)
    asking.ask(0, probe=True)
    assert asking.take_bytes(0) == QUESTION
    asking.received(SECOND_CHANNEL_CLOSE_OK + QOS_OK, 0)
    asking.ask(0, probe=True)
    assert asking.take_bytes(0) == PROBE


def test_a_close_that_crosses_ours_is_answered_and_says_nothing() -> None:
    asking = logged_in(LavinMq())
    asking.ask(0, probe=True)
    asking.received(SECOND_CHANNEL_OPEN_OK + QOS_OK + LOW_ON_DISK, 0)
    assert asking.take_bytes(0) == PROBE + SECOND_CHANNEL_CLOSE + SECOND_CHANNEL_CLOSED
    assert asking.alarm == ""
    assert asking.conclusion is None


def test_a_user_who_may_not_write_asks_once() -> None:
    server = LavinMq(may_write=False)
    asking = logged_in(server)
    said = "403 ACCESS_REFUSED - User not allowed to publish to exchange ''"
    assert asking.remark == f"its alarms are not asked: {said}"
    for _ in range(3):
        asking.ask(0, probe=True)
        converse(asking, server)
        assert not asking.outstanding
    assert server.warnings == 1
    assert asking.conclusion is None


@pytest.mark.parametrize(
    "refusal",
    [
        LOW_ON_DISK.replace(b"\1\x96", b"\1\x95"),
        LOW_ON_DISK.replace(b"Server low on disk", b"Server has no rose"),
    ],
)
def test_what_is_refused_for_another_reason_is_no_alarm(refusal: bytes) -> None:
    asking = logged_in(LavinMq())
    asking.ask(0, probe=True)
    asking.received(SECOND_CHANNEL_OPEN_OK + refusal + QOS_OK, 0)
    assert asking.alarm == ""
    assert asking.remark.startswith("its alarms are not asked: 40")


def test_a_user_who_loses_the_permission_knows_of_no_alarm_any_more() -> None:
    server = LavinMq(low_on_disk=True)
    asking = logged_in(server)
    server.may_write = False
    asking.ask(0, probe=True)
    converse(asking, server)
    assert asking.alarm == ""
    assert asking.remark.startswith("its alarms are not asked: 403 ")


@pytest.mark.parametrize("one_channel", [False, True])
def test_it_is_asked_only_where_that_is_wished_and_there_is_a_channel(one_channel: bool) -> None:
    server = LavinMq(low_on_disk=True)
    if one_channel:
        server.tune = TUNE_OF_ONE_CHANNEL
    asking = logged_in(server, probes=one_channel)
    asking.ask(0, probe=True)
    assert asking.take_bytes(0) == QUESTION
    assert (server.publishes, asking.alarm) == (0, "")
