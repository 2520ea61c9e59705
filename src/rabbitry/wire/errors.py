"""AMQP's reply codes, and the exceptions that carry one to the peer.

Owns numbers, names and the text of a close as RabbitMQ words it; does not decide when which is due.
A `ChannelException` (soft) closes one channel, a `ConnectionException` (hard) the connection; the
raiser chooses, for RabbitMQ too answers a refused login with the soft code 403 on the connection.
Invariant: `reply_text` always fits a short string.
"""

from __future__ import annotations

from rabbitry.wire.values import SHORT_STRING_SIZE_BYTES_MAX

REPLY_SUCCESS = 200
CONTENT_TOO_LARGE = 311
NO_ROUTE = 312
NO_CONSUMERS = 313
CONNECTION_FORCED = 320
INVALID_PATH = 402
ACCESS_REFUSED = 403
NOT_FOUND = 404
RESOURCE_LOCKED = 405
PRECONDITION_FAILED = 406
FRAME_ERROR = 501
SYNTAX_ERROR = 502
COMMAND_INVALID = 503
CHANNEL_ERROR = 504
UNEXPECTED_FRAME = 505
RESOURCE_ERROR = 506
NOT_ALLOWED = 530
NOT_IMPLEMENTED = 540
INTERNAL_ERROR = 541

REPLY_NAMES: dict[int, str] = {
    REPLY_SUCCESS: "REPLY_SUCCESS",
    CONTENT_TOO_LARGE: "CONTENT_TOO_LARGE",
    NO_ROUTE: "NO_ROUTE",
    NO_CONSUMERS: "NO_CONSUMERS",
    CONNECTION_FORCED: "CONNECTION_FORCED",
    INVALID_PATH: "INVALID_PATH",
    ACCESS_REFUSED: "ACCESS_REFUSED",
    NOT_FOUND: "NOT_FOUND",
    RESOURCE_LOCKED: "RESOURCE_LOCKED",
    PRECONDITION_FAILED: "PRECONDITION_FAILED",
    FRAME_ERROR: "FRAME_ERROR",
    SYNTAX_ERROR: "SYNTAX_ERROR",
    COMMAND_INVALID: "COMMAND_INVALID",
    CHANNEL_ERROR: "CHANNEL_ERROR",
    UNEXPECTED_FRAME: "UNEXPECTED_FRAME",
    RESOURCE_ERROR: "RESOURCE_ERROR",
    NOT_ALLOWED: "NOT_ALLOWED",
    NOT_IMPLEMENTED: "NOT_IMPLEMENTED",
    INTERNAL_ERROR: "INTERNAL_ERROR",
}

_ELLIPSIS = b"..."


class AmqpException(Exception):
    """A fault that ends a channel or a connection, with what the close method says of it.

    `text` is the explanation alone; `class_id` and `method_id` name the method that failed, 0 and 0
    where it was none.
    """

    def __init__(self, reply_code: int, text: str, class_id: int = 0, method_id: int = 0) -> None:
        super().__init__(reply_code, text, class_id, method_id)
        self.reply_code = reply_code
        self.text = text
        self.class_id = class_id
        self.method_id = method_id

    @property
    def reply_text(self) -> str:
        """`NOT_FOUND - no queue 'q' in vhost '/'`, at most 255 bytes of UTF-8.

        Longer ones end in `...`, as amqp_exception_explanation in rabbit_binary_generator.erl has
        it, but never in the middle of a character. A code without a name is given as its number.
        """
        name = REPLY_NAMES.get(self.reply_code, str(self.reply_code))
        return _cut(f"{name} - {self.text}" if self.text else name)

    def __str__(self) -> str:
        return f"{self.reply_code} {self.reply_text}"


class ChannelException(AmqpException):
    """A soft error: the channel is closed, the connection goes on."""


class ConnectionException(AmqpException):
    """A hard error: the connection is closed."""


def _cut(text: str) -> str:
    raw = text.encode("utf-8", "surrogateescape")
    if len(raw) <= SHORT_STRING_SIZE_BYTES_MAX:
        return text
    end = longest = SHORT_STRING_SIZE_BYTES_MAX - len(_ELLIPSIS)
    while end > longest - 3 and raw[end] & 0xC0 == 0x80:
        end -= 1
    return (raw[:end] + _ELLIPSIS).decode("utf-8", "surrogateescape")
