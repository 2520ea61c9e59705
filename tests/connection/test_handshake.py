"""Limits are judged as RabbitMQ judges them, and credentials travel as RFC 4616 says."""

from __future__ import annotations

import pytest

from rabbitry.connection.handshake import Credentials, check_tune_ok, choose_limits
from rabbitry.wire.errors import ConnectionException
from rabbitry.wire.methods import ConnectionTune, ConnectionTuneOk

OFFERED = ConnectionTune(channel_max=2047, frame_max=131072, heartbeat=60)
NO_LIMITS = ConnectionTune(channel_max=0, frame_max=0, heartbeat=60)


@pytest.mark.parametrize(
    "accepted",
    [
        ConnectionTuneOk(2047, 131072, 60),
        ConnectionTuneOk(1, 4096, 0),
        ConnectionTuneOk(100, 8192, 65535),
    ],
)
def test_limits_within_the_offer_are_good(accepted: ConnectionTuneOk) -> None:
    check_tune_ok(OFFERED, accepted)


@pytest.mark.parametrize(
    ("accepted", "text"),
    [
        (
            ConnectionTuneOk(2048, 131072, 0),
            "negotiated channel_max = 2048 is higher than the maximum allowed value (2047)",
        ),
        (
            ConnectionTuneOk(0, 131072, 0),
            "negotiated channel_max = 0 (no limit) is higher than the maximum allowed value (2047)",
        ),
        (
            ConnectionTuneOk(2047, 131073, 0),
            "negotiated frame_max = 131073 is higher than the maximum allowed value (131072)",
        ),
        (
            ConnectionTuneOk(2047, 0, 0),
            "negotiated frame_max = 0 (no limit) is higher than the maximum allowed value (131072)",
        ),
        (
            ConnectionTuneOk(2047, 4095, 0),
            "negotiated frame_max = 4095 is lower than the minimum allowed value (4096)",
        ),
    ],
)
def test_limits_outside_the_offer_are_530(accepted: ConnectionTuneOk, text: str) -> None:
    with pytest.raises(ConnectionException) as raised:
        check_tune_ok(OFFERED, accepted)
    fault = raised.value
    assert (fault.reply_code, fault.text) == (530, text)
    assert (fault.class_id, fault.method_id) == (10, 30)


def test_a_server_without_limits_takes_any_but_a_frame_too_small() -> None:
    check_tune_ok(NO_LIMITS, ConnectionTuneOk(0, 0, 0))
    check_tune_ok(NO_LIMITS, ConnectionTuneOk(65535, 1 << 31, 0))
    with pytest.raises(ConnectionException):
        check_tune_ok(NO_LIMITS, ConnectionTuneOk(0, 100, 0))


@pytest.mark.parametrize(
    ("offered_s", "wished_s", "chosen_s"), [(60, 10, 10), (10, 60, 10), (0, 10, 10), (60, 0, 0)]
)
def test_the_smaller_heartbeat_wins_and_0_wishes_none(
    offered_s: int, wished_s: int, chosen_s: int
) -> None:
    offered = ConnectionTune(7, 8192, offered_s)
    chosen = choose_limits(offered, wished_s)
    assert chosen == ConnectionTuneOk(7, 8192, chosen_s)
    check_tune_ok(offered, chosen)


def test_the_plain_response_is_no_authority_user_and_password() -> None:
    assert Credentials("Jürgen", "p:w").plain_response() == "\0Jürgen\0p:w".encode()


def test_a_password_is_not_shown() -> None:
    assert "geheim" not in repr(Credentials("user", "geheim"))
