"""What a message's properties must not say, and what they say of where it goes.

Looked at only where the flags of a run say that its messages have headers, a reply-to, an
expiration or a user-id; most have none, and nobody looks. Owns the checks of `user-id` and
`expiration`, the routing keys in the headers CC and BCC (BCC does not stay in the message), and
`reply-to` where it asks for the channel's own reply address.

RabbitMQ: rabbit_channel.erl handle_method basic.publish, check_user_id_header/2,
check_expiration_header/1, maybe_set_fast_reply_to/2; rabbit_basic.erl message_no_id/3,
header_routes/1, strip_header/2.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from rabbitry.broker.dead_letters import ROUTING_HEADERS, header_routing_keys
from rabbitry.broker.direct_reply_to import REPLY_TO_NAME
from rabbitry.wire.erlang_terms import string, type_name
from rabbitry.wire.errors import (
    INTERNAL_ERROR,
    PRECONDITION_FAILED,
    ChannelException,
    ConnectionException,
)
from rabbitry.wire.frames import content_properties, replace_properties
from rabbitry.wire.methods import BasicProperties
from rabbitry.wire.properties import (
    EXPIRATION,
    HEADERS,
    REPLY_TO,
    USER_ID,
    header_end,
    short_string_property,
)
from rabbitry.wire.values import MalformedValue

CHECKED_FLAGS: Final = HEADERS | REPLY_TO | EXPIRATION | USER_ID
EXPIRATION_MS_MAX: Final = 315_360_000_000  # ten years
_REPLY_TO_RAW: Final = REPLY_TO_NAME.encode()
_INTEGER: Final = re.compile(rb"([+-]?[0-9]+)(.*)", re.DOTALL)


class UnreadableProperties(ConnectionException):
    """Properties that cannot be decoded. RabbitMQ's channel crashes over them and says no more."""

    def __init__(self) -> None:
        super().__init__(INTERNAL_ERROR, "")

    def __str__(self) -> str:
        return f"{super().__str__()}: cannot decode message properties"


class Checked(NamedTuple):
    """A message as it is kept, and the routing keys that its headers add to its own."""

    frames: bytes
    further_keys: list[str]


def check_message(frames: bytes, flags: int, user: str | None, reply_to: str) -> Checked:
    """Check a message of the user `user`, which has some of `CHECKED_FLAGS`.

    `user` is None where any name will do (RabbitMQ: the user has the tag `impersonator`).
    `reply_to` is the reply address of the channel, "" where it has no reply consumer. Raises 406,
    or 541 on the connection where the properties cannot be read.
    """
    try:
        return _check(frames, flags, user, reply_to)
    except MalformedValue:
        raise UnreadableProperties from None


def may_name_keys(contents: list[bytes]) -> bool:
    """Whether any of these messages may have a header CC or BCC: a cheap look, which may err."""
    for frames in contents:
        if b"CC" in frames and frames.find(b"CC", 0, header_end(frames)) >= 0:
            return True
    return False


def properties_of(frames: bytes) -> BasicProperties:
    """Return the properties of a message. Raises 541 where they cannot be read."""
    try:
        return BasicProperties.decode(content_properties(frames), 0)[0]
    except MalformedValue:
        raise UnreadableProperties from None


def _check(frames: bytes, flags: int, user: str | None, reply_to: str) -> Checked:
    if flags & REPLY_TO and short_string_property(frames, REPLY_TO) == _REPLY_TO_RAW:
        if not reply_to:
            raise _refused("fast reply consumer does not exist")
        properties = properties_of(frames)
        properties.reply_to = reply_to
        frames = replace_properties(frames, properties.encode())
    if flags & USER_ID and user is not None:
        _check_user(short_string_property(frames, USER_ID), user)
    if flags & EXPIRATION:
        _check_expiration(short_string_property(frames, EXPIRATION))
    if flags & HEADERS:
        end = header_end(frames)
        if frames.find(b"\x02CC", 0, end) >= 0 or frames.find(b"\x03BCC", 0, end) >= 0:
            return _with_further_keys(frames)
    return Checked(frames, [])


def _check_user(claimed: bytes, user: str) -> None:
    text = claimed.decode("utf-8", "replace")
    if text != user:
        raise _refused(f"user_id property set to '{text}' but authenticated user was '{user}'")


def _check_expiration(expiration: bytes) -> None:
    """Erlang: string:to_integer/1, then rabbit_misc:check_expiry/1."""
    found = _INTEGER.match(expiration)
    if found is None:
        reason = "no_integer"
    elif found[2]:
        reason = f"{{leftover_string,{string(found[2].decode('latin-1'))}}}"
    else:
        milliseconds = int(found[1])
        if milliseconds < 0:
            reason = f"{{value_negative,{milliseconds}}}"
        elif milliseconds > EXPIRATION_MS_MAX:
            reason = f"{{value_too_large,{milliseconds}}}"
        else:
            return
    text = expiration.decode("utf-8", "replace")
    raise _refused(f"invalid expiration '{text}': {reason}")


def _with_further_keys(frames: bytes) -> Checked:
    properties = properties_of(frames)
    headers = properties.headers or {}
    for name in ROUTING_HEADERS:
        if name in headers and not isinstance(headers[name], list):
            kind = type_name(headers[name])
            reason = f'{{unacceptable_type_in_header,"{name}",{kind}}}'
            raise _refused(f"invalid message: {reason}")
    keys = [key.decode("utf-8", "surrogateescape") for key in header_routing_keys(headers)]
    if "BCC" in headers:
        del headers["BCC"]
        frames = replace_properties(frames, properties.encode())
    return Checked(frames, keys)


def _refused(text: str) -> ChannelException:
    return ChannelException(PRECONDITION_FAILED, text, 60, 40)
