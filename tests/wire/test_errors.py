"""Reply codes and the text of a close."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rabbitry.wire import errors
from rabbitry.wire.errors import AmqpException, ChannelException, ConnectionException
from rabbitry.wire.values import encode_short_string


def test_the_text_is_rabbitmq_s() -> None:
    error = ChannelException(errors.NOT_FOUND, "no queue 'q' in vhost '/'", 50, 10)
    assert error.reply_text == "NOT_FOUND - no queue 'q' in vhost '/'"
    assert error.text == "no queue 'q' in vhost '/'"
    assert (error.reply_code, error.class_id, error.method_id) == (404, 50, 10)
    assert str(error) == "404 NOT_FOUND - no queue 'q' in vhost '/'"


def test_soft_and_hard_are_apart() -> None:
    soft = ChannelException(errors.PRECONDITION_FAILED, "x")
    hard = ConnectionException(errors.FRAME_ERROR, "x")
    assert isinstance(soft, AmqpException) and not isinstance(soft, ConnectionException)
    assert isinstance(hard, AmqpException) and not isinstance(hard, ChannelException)
    assert (soft.class_id, soft.method_id) == (0, 0)


def test_without_explanation_or_name() -> None:
    assert ConnectionException(errors.INTERNAL_ERROR, "").reply_text == "INTERNAL_ERROR"
    assert ConnectionException(599, "odd").reply_text == "599 - odd"


def test_every_code_has_its_constant_s_name() -> None:
    constants = {
        value: name for name, value in vars(errors).items() if name.isupper() and type(value) is int
    }
    del constants[errors.SHORT_STRING_SIZE_BYTES_MAX]
    assert constants == errors.REPLY_NAMES
    assert len(constants) == 19


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a" * 243, "NOT_FOUND - " + "a" * 243),
        ("a" * 244, "NOT_FOUND - " + "a" * 240 + "..."),
        ("a" + "é" * 200, "NOT_FOUND - a" + "é" * 119 + "..."),
        ("\U0001f407" * 99, "NOT_FOUND - " + "\U0001f407" * 60 + "..."),
        ("ab" + "\U0001f407" * 99, "NOT_FOUND - ab" + "\U0001f407" * 59 + "..."),
    ],
)
def test_long_texts_are_cut_between_characters(text: str, expected: str) -> None:
    assert ChannelException(errors.NOT_FOUND, text).reply_text == expected


@given(st.text() | st.binary().map(lambda raw: (raw * 9).decode("utf-8", "surrogateescape")))
def test_the_text_always_fits_a_short_string(text: str) -> None:
    reply_text = ChannelException(errors.NOT_FOUND, text * 5).reply_text
    assert len(encode_short_string(reply_text)) <= 256
    assert reply_text.startswith("NOT_FOUND")
