"""Which channels of a connection are open, and which commands may come on them.

Owns that and nothing of what commands mean, but for the few that open and close channels. What a
peer still sends on a channel that we have closed is dropped until its close-ok (specification
1.5.2.5); after we have closed the connection everything is, but for acknowledgements where the
owner still takes them.

Codes and texts are RabbitMQ's (rabbit_reader.erl, create_channel, process_frame).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from rabbitry.connection.states import Role
from rabbitry.wire.content import Command
from rabbitry.wire.errors import CHANNEL_ERROR, NOT_ALLOWED, ConnectionException
from rabbitry.wire.methods import (
    BasicAck,
    BasicNack,
    BasicReject,
    ChannelClose,
    ChannelCloseOk,
    ChannelOpen,
    Method,
)

_OPEN: Final = ChannelOpen().encode()[:4]
_CLOSE: Final = ChannelClose().encode()[:4]
_CLOSE_OK: Final = ChannelCloseOk().encode()[:4]
_SETTLEMENTS: Final = tuple(one.encode()[:4] for one in (BasicAck(), BasicNack(), BasicReject()))


class OpenChannels:
    """See the module. `answer` queues a method for the peer; `channel_max` 0: any number."""

    def __init__(self, role: Role, channel_max: int, answer: Callable[[int, Method], None]) -> None:
        self.channel_max = channel_max
        self._role = role
        self._answer = answer
        self._open: dict[int, bool] = {}  # is it closing?

    def admit(self, command: Command) -> bool:
        """Return whether a command is legal on its channel; raises what the peer did wrong."""
        channel, method = command.channel, command.frame[7:11]
        closing = self._open.get(channel)
        if closing is None:
            return self._admit_to_new_channel(command)
        if closing:
            if method == _CLOSE_OK:
                del self._open[channel]
                return True
            if method == _CLOSE:
                self._answer(channel, ChannelCloseOk())
            return False
        if method == _OPEN and self._role == "server":
            text = "second 'channel.open' seen"
            raise ConnectionException(CHANNEL_ERROR, text, *command.ids())
        return True

    def _admit_to_new_channel(self, command: Command) -> bool:
        if self._role == "server" and self.channel_max and len(self._open) >= self.channel_max:
            text = (
                f"number of channels opened ({len(self._open)}) has reached the "
                f"negotiated channel_max ({self.channel_max})"
            )
            raise ConnectionException(NOT_ALLOWED, text)
        if self._role == "client" or command.frame[7:11] != _OPEN:
            text = "expected 'channel.open'"
            raise ConnectionException(CHANNEL_ERROR, text, *command.ids())
        self._open[command.channel] = False
        return True

    def admit_settlement(self, command: Command) -> bool:
        """Return whether a command acknowledges deliveries of an open channel."""
        return is_settlement(command) and self._open.get(command.channel) is False

    def sent(self, channel: int, method: Method) -> None:
        """We send this on a channel."""
        if isinstance(method, ChannelCloseOk):
            self._open.pop(channel, None)
        elif isinstance(method, ChannelClose):
            self._open[channel] = True
        elif self._role == "client" and isinstance(method, ChannelOpen):
            self._open[channel] = False

    def clear(self) -> None:
        """The connection is over."""
        self._open.clear()


def is_settlement(command: Command) -> bool:
    """Whether a client acknowledges or rejects deliveries by this."""
    return command.frame[7:11] in _SETTLEMENTS
