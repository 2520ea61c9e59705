"""What of a message's properties is refused, and what its headers say of where it goes."""

from __future__ import annotations

from typing import Any

import pytest

from rabbitry.broker.message_checks import (
    CHECKED_FLAGS,
    check_message,
    may_name_keys,
    properties_of,
)
from rabbitry.wire.errors import ChannelException, ConnectionException
from rabbitry.wire.frames import content_body, content_frames, replace_properties
from rabbitry.wire.methods import BasicProperties
from rabbitry.wire.values import ByteArray


def checked(user: str | None = "guest", **said: Any) -> tuple[BasicProperties, list[str]]:
    encoded = BasicProperties(**said).encode()
    flags = int.from_bytes(encoded[:2], "big")
    assert flags & CHECKED_FLAGS
    frames = content_frames(1, encoded, b"body", 0)
    kept, keys = check_message(frames, flags, user, "")
    assert content_body(kept) == b"body"
    if properties_of(kept) == BasicProperties(**said):
        assert kept is frames
    return properties_of(kept), keys


def refused(**said: Any) -> str:
    with pytest.raises(ChannelException) as fault:
        checked(**said)
    assert (fault.value.reply_code, fault.value.class_id, fault.value.method_id) == (406, 60, 40)
    return fault.value.reply_text.removeprefix("PRECONDITION_FAILED - ")


def test_any_user_id_will_do_for_one_who_may_impersonate() -> None:
    assert checked(user=None, user_id="somebody")[0].user_id == "somebody"


def test_a_user_id_must_be_that_of_the_user() -> None:
    assert checked(user="anna", user_id="anna")[0].user_id == "anna"
    assert refused(user="anna", user_id="guest") == (
        "user_id property set to 'guest' but authenticated user was 'anna'"
    )


@pytest.mark.parametrize("right", ["0", "1", "60000", "+5", "007", "315360000000"])
def test_expirations_are_whole_milliseconds(right: str) -> None:
    assert checked(expiration=right)[0].expiration == right


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ("", "no_integer"),
        ("never", "no_integer"),
        (" 1", "no_integer"),
        ("10s", '{leftover_string,"s"}'),
        ("1.5", '{leftover_string,".5"}'),
        ("-1", "{value_negative,-1}"),
        ("315360000001", "{value_too_large,315360000001}"),
    ],
)
def test_anything_else_is_no_expiration(wrong: str, reason: str) -> None:
    assert refused(expiration=wrong) == f"invalid expiration '{wrong}': {reason}"


def test_cc_and_bcc_name_further_keys() -> None:
    headers = {"BCC": ["c"], "CC": ["a", 1, "b", ByteArray(b"x")], "other": "CC"}
    properties, keys = checked(headers=headers, priority=3)
    assert keys == ["a", "b", "c"]
    assert properties.headers == {"CC": headers["CC"], "other": "CC"}
    assert properties.priority == 3
    assert checked(headers={"BCC": ["c"]})[0].headers == {}


def test_a_header_that_only_looks_like_cc_is_none() -> None:
    assert checked(headers={"ACC": 1, "value": "\x02CC"}) == (
        BasicProperties(headers={"ACC": 1, "value": "\x02CC"}),
        [],
    )


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({"CC": "a"}, '{unacceptable_type_in_header,"CC",longstr}'),
        ({"BCC": 1}, '{unacceptable_type_in_header,"BCC",signedint}'),
        ({"CC": None}, '{unacceptable_type_in_header,"CC",void}'),
    ],
)
def test_cc_and_bcc_must_be_arrays(headers: dict[str, Any], reason: str) -> None:
    assert refused(headers=headers) == f"invalid message: {reason}"


def test_the_name_of_direct_reply_to_becomes_the_address() -> None:
    encoded = BasicProperties(reply_to="amq.rabbitmq.reply-to", correlation_id="7").encode()
    frames = content_frames(1, encoded, b"body", 0)
    flags = int.from_bytes(encoded[:2], "big")
    with pytest.raises(ChannelException) as fault:
        check_message(frames, flags, "guest", "")
    assert fault.value.reply_text == "PRECONDITION_FAILED - fast reply consumer does not exist"
    kept, keys = check_message(frames, flags, "guest", "amq.rabbitmq.reply-to.where.key")
    assert properties_of(kept) == BasicProperties(
        reply_to="amq.rabbitmq.reply-to.where.key", correlation_id="7"
    )
    assert keys == []


def test_properties_that_cannot_be_read_end_the_connection() -> None:
    frames = content_frames(1, BasicProperties(expiration="1").encode(), b"", 0)
    broken = replace_properties(frames, b"\x01\0\x09" + b"1")
    with pytest.raises(ConnectionException) as fault:
        check_message(broken, 0x0100, "guest", "")
    assert fault.value.reply_text == "INTERNAL_ERROR"
    assert str(fault.value) == "541 INTERNAL_ERROR: cannot decode message properties"
    with pytest.raises(ConnectionException):
        properties_of(broken)


def test_most_headers_need_no_look() -> None:
    plain = content_frames(1, BasicProperties(headers={"a": 1}).encode(), b"CC BCC", 0)
    copied = content_frames(1, BasicProperties(headers={"BCC": []}).encode(), b"", 0)
    assert not may_name_keys([plain, plain])
    assert may_name_keys([plain, copied])
