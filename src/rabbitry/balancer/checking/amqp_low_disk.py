"""The question whether a LavinMQ takes messages: a publish that is begun, and given up.

Owns what is said for it on a channel of its own, and what the answers mean. Does not own when it is
asked (`amqp_watch`).

LavinMQ low on disk blocks nobody. It ends the channel of each who publishes, with 406 (its
`src/lavinmq/amqp/channel.cr`, `start_publish`), at the method already, before any content; whoever
consumes notices nothing. So a channel is opened, and `basic.publish` is all that is said on it:
as long as no header follows there is no message, and none is counted. The connection's frames
are taken one after the other by one fiber, so what is to be said of the publish comes before the
answer to a question that was asked behind it: without a word until then there is no alarm, and the
channel is closed. It cannot stay: the next publish would find this one unfinished.

The default exchange is what is published to: it always exists. Who may not write to it is refused
with 403, alarm or none. Then `refusal` says so, and nothing more is asked on this connection.

LavinMQ writes a warning for each publish that it refuses, so in alarm it is asked seldom.

Invariant: the channel is opened only when it is closed on both sides.
"""

from __future__ import annotations

from typing import Final, Literal

from rabbitry.balancer.checking.results import printable
from rabbitry.connection.endpoint import Endpoint
from rabbitry.wire.errors import PRECONDITION_FAILED
from rabbitry.wire.methods import (
    BasicPublish,
    ChannelClose,
    ChannelCloseOk,
    ChannelOpen,
    Method,
)

LOW_ON_DISK: Final = "low on disk"
"""The reason as RabbitMQ says it."""
_REFUSED: Final = "its alarms are not asked: "
_LAVINMQ_LOW_ON_DISK: Final = "low on disk space"


class LowDiskAsking:
    """The question on one connection. `channel` is its own."""

    def __init__(self, endpoint: Endpoint, channel: int) -> None:
        self._endpoint = endpoint
        self._channel = channel
        self._state: Literal["closed", "asked", "closing"] = "closed"
        self.alarm = ""
        self.refusal = ""

    def ask(self) -> None:
        """Ask, before the question whose answer ends this one: see `answered`."""
        if self._state == "closed" and not self.refusal:
            self._state = "asked"
            self._say(ChannelOpen())
            self._say(BasicPublish())

    def answered(self) -> None:
        """What was asked behind it has been answered: had there been an alarm, it would be known.

        A publish that was refused has ended its channel already, and changes nothing here.
        """
        if self._state == "asked":
            self._state = "closing"
            self.alarm = ""
            self._say(ChannelClose(200, "Goodbye"))

    def take(self, method: Method) -> None:
        """Take what has come on the channel; a close that crosses ours never does (`Endpoint`)."""
        match method:
            case ChannelCloseOk():
                self._state = "closed"
            case ChannelClose():
                self._say(ChannelCloseOk())
                self._state = "closed"
                self._refused(method.reply_code, printable(method.reply_text))

    @property
    def remark(self) -> str:
        """What people should know of it; empty where all is well."""
        return f"{_REFUSED}{self.refusal}" if self.refusal else ""

    def _refused(self, code: int, text: str) -> None:
        if code == PRECONDITION_FAILED and _LAVINMQ_LOW_ON_DISK in text:
            self.alarm = LOW_ON_DISK
        else:
            self.alarm = ""
            self.refusal = f"{code} {text}"

    def _say(self, method: Method) -> None:
        self._endpoint.send_method(self._channel, method)
